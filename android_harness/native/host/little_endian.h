// Numbers in files, which have their lowest byte first, as this processor has.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace pocketllm {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

// Returns the number at a place, which the data must hold whole.
template <typename Number>
Number number_at(const char* data, size_t place = 0) {
  Number value;
  std::memcpy(&value, data + place, sizeof value);
  return value;
}

inline uint32_t word_at(std::string_view data, size_t place) {
  return number_at<uint32_t>(data.data(), place);
}

template <typename Number>
void append_number(std::string& data, Number value) {
  data.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace pocketllm
