#include "host/json.h"

#include <charconv>
#include <cstdlib>

#include "errors.h"
#include "host/files.h"

namespace pocketllm {
namespace {

std::string text_of(const std::string& value, bool ascii) {
  return Json(value).dump(-1, ' ', ascii, Json::error_handler_t::replace);
}

void append(std::string& out, const Json& value, bool ascii, int indent, int depth) {
  const bool has_lines = indent >= 0;
  auto line = [&](int level) {
    if (has_lines) out += "\n" + std::string(static_cast<size_t>(indent * level), ' ');
  };
  const char* comma = has_lines ? "," : ", ";
  if (value.is_object() || value.is_array()) {
    const bool is_object = value.is_object();
    out += is_object ? '{' : '[';
    bool is_first = true;
    for (const auto& item : value.items()) {
      if (!is_first) out += comma;
      is_first = false;
      line(depth + 1);
      if (is_object) out += text_of(item.key(), ascii) + ": ";
      append(out, item.value(), ascii, indent, depth + 1);
    }
    if (!value.empty()) line(depth);
    out += is_object ? '}' : ']';
  } else if (value.is_number_float()) {
    out += json_number(value.get<double>());
  } else if (value.is_string()) {
    out += text_of(value.get_ref<const std::string&>(), ascii);
  } else {
    out += value.dump();
  }
}

}  // namespace

std::string json_number(double value) {
  if (value != value) return "NaN";
  if (value - value != 0) return value > 0 ? "Infinity" : "-Infinity";
  char digits[40];
  auto end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr;
  std::string text(digits, end);
  const size_t mark = text.find('e');
  const int exponent = std::atoi(text.c_str() + mark + 1);
  std::string sign = text[0] == '-' ? "-" : "", mantissa;
  for (char c : text.substr(0, mark))
    if (c >= '0' && c <= '9') mantissa += c;
  const int count = static_cast<int>(mantissa.size());
  if (exponent < -4 || exponent >= 16) {
    std::string fraction = count > 1 ? "." + mantissa.substr(1) : "";
    std::string power = std::to_string(std::abs(exponent));
    if (power.size() < 2) power = "0" + power;
    return sign + mantissa[0] + fraction + "e" + (exponent < 0 ? "-" : "+") + power;
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + mantissa;
  if (count <= exponent + 1)
    return sign + mantissa + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  const auto whole = static_cast<size_t>(exponent + 1);
  return sign + mantissa.substr(0, whole) + "." + mantissa.substr(whole);
}

std::string json_line(const Json& value) {
  std::string out;
  append(out, value, true, -1, 0);
  return out;
}

std::string json_file(const Json& value) {
  std::string out;
  append(out, value, false, 1, 0);
  return out + "\n";
}

Json read_json(const std::string& path, const std::string& remedy) {
  auto data = read_file(path);
  if (!data) throw InputError(path + ": cannot be read; " + remedy);
  Json value = Json::parse(*data, nullptr, false);
  if (value.is_discarded()) throw InputError(path + ": not JSON; " + remedy);
  if (!value.is_object())
    throw InputError(path + ": a JSON " + value.type_name() + ", expected an object; " + remedy);
  return value;
}

}  // namespace pocketllm
