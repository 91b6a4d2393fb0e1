// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pocketllm {

class Sha256 {
 public:
  Sha256();
  void add(const void* data, size_t bytes);
  void add(std::string_view data) { add(data.data(), data.size()); }
  // Ends the message; nothing is added behind this.
  std::array<uint8_t, 32> digest();
  std::string hex();

 private:
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> block_;
  uint64_t bytes_ = 0;
};

// Returns the sum of a file in hex, read in pieces. Throws std::system_error.
std::string sha256_of_file(const std::string& path);

}  // namespace pocketllm
