#include "bundle/checksum.h"

#include "errors.h"
#include "host/files.h"
#include "host/sha256.h"

namespace pocketllm {

void verify_checksum(const std::string& path, const Json& written, const std::string& remedy) {
  const std::string digits = written.is_string() ? written.get<std::string>() : "";
  if (digits.size() != 64 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw InputError(path + ": without a checksum; " + remedy);
  std::string data = read_file(path).value_or("");
  const size_t place = data.rfind(digits);
  if (place != std::string::npos) data.replace(place, 64, std::string(64, '0'));
  Sha256 sum;
  sum.add(data);
  const std::string actual = sum.hex();
  if (actual != digits)
    throw InputError(path + ": checksum " + digits.substr(0, 12) + "…, expected " +
                     actual.substr(0, 12) + "…: the file was altered; " + remedy);
}

}  // namespace pocketllm
