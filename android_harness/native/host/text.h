// Small questions about texts, and texts made of others.
#pragma once
#include <string>
#include <string_view>

namespace pocketllm {

// Returns a text as printf makes it, 399 bytes at most.
std::string formatted(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Returns a text without white space at its ends.
std::string stripped(const std::string& text);
bool is_digits(std::string_view text);  // one or more, decimal
bool begins_with(std::string_view text, std::string_view begin);

// Returns texts in a row, with another between each two.
template <typename Texts>
std::string joined(const Texts& texts, const std::string& between) {
  std::string whole;
  for (const std::string& text : texts) whole += (whole.empty() ? "" : between) + text;
  return whole;
}

}  // namespace pocketllm
