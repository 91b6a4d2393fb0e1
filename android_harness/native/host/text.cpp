#include "host/text.h"

#include <cstdarg>
#include <cstdio>

namespace pocketllm {

std::string formatted(const char* format, ...) {
  char text[400];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  return text;
}

std::string stripped(const std::string& text) {
  constexpr const char* SPACE = " \t\r\n";
  const size_t first = text.find_first_not_of(SPACE);
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(SPACE) - first + 1);
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

bool begins_with(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

}  // namespace pocketllm
