#include "run/arrays.h"

#include "errors.h"
#include "host/files.h"
#include "run/archive.h"

namespace pocketllm {
namespace {

constexpr const char* CHECKSUM = "journal/checksum.npy";  // no variable is called so
constexpr size_t ALIGNMENT = 64;

std::string described(const std::string& kind, const std::vector<int64_t>& shape) {
  std::string sizes;
  for (size_t i = 0; i < shape.size(); i++)
    sizes += (i ? ", " : "") + std::to_string(shape[i]);
  if (shape.size() == 1) sizes += ",";
  return "{'descr': '" + kind + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
}

// What stands in front of an array's values.
std::string head_of(const std::string& kind, const std::vector<int64_t>& shape) {
  std::string text = described(kind, shape);
  const size_t least = 10 + text.size() + 1;
  text += std::string((ALIGNMENT - least % ALIGNMENT) % ALIGNMENT, ' ') + "\n";
  std::string head("\x93NUMPY\x01\x00", 8);
  head += static_cast<char>(text.size() & 255);
  head += static_cast<char>(text.size() >> 8);
  return head + text;
}

// Reads an array of this type and shape; throws Unreadable for any other.
void read_array(const ArchiveReader& archive, const std::string& member, const std::string& kind,
                const std::vector<int64_t>& shape, void* into, uint64_t bytes) {
  const auto entry = archive.members().find(member);
  if (entry == archive.members().end()) throw Unreadable("it lacks " + member);
  const uint64_t size = entry->second.bytes;
  if (size < bytes || size - bytes > 0xFFFF + 10) throw Unreadable(member + " has another size");
  std::string head(size - bytes, '\0');
  archive.read(member, head, into, bytes);
  const std::string begin("\x93NUMPY\x01\x00", 8);
  const size_t last = head.find_last_not_of(" \n");
  if (head.size() < 10 || head.compare(0, 8, begin) || last == head.npos ||
      head.substr(10, last - 9) != described(kind, shape))
    throw Unreadable(member + " is another array");
}

}  // namespace

void save_parameters(Model& model, const std::string& path, uint32_t checksum) {
  write_beside(path, [&](File& file) {
    ArchiveWriter archive(file);
    archive.add(CHECKSUM, head_of("<u4", {}), &checksum, sizeof checksum);
    model.read([&](const std::string& name, const Values& values) {
      const auto& shape = model.bundle().variables.at(name).shape;
      archive.add(name + ".npy", head_of("<f4", shape), values.data(), 4 * values.size());
    });
    archive.finish();
  });
}

void load_parameters(Model& model, const std::string& path) {
  const ArchiveReader archive(path);
  const auto& variables = model.bundle().variables;
  size_t members = 0;
  for (const auto& entry : archive.members()) members += entry.first != CHECKSUM;
  if (members != variables.size())
    throw Unreadable(std::to_string(members) + " variables, expected " +
                     std::to_string(variables.size()));
  model.write([&](const std::string& name, Values& values) {
    read_array(archive, name + ".npy", "<f4", variables.at(name).shape, values.data(),
               4 * values.size());
  });
}

std::optional<uint32_t> checksum_in(const std::string& path) {
  try {
    uint32_t checksum;
    read_array(ArchiveReader(path), CHECKSUM, "<u4", {}, &checksum, sizeof checksum);
    return checksum;
  } catch (const Unreadable&) {
    return {};
  }
}

}  // namespace pocketllm
