// zlib's CRC-32: polynomial 0xEDB88320, start and final inversion.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pocketllm {

// Returns the checksum of bytes that follow those of checksum `before`.
uint32_t crc32(const void* data, size_t bytes, uint32_t before = 0);

inline uint32_t crc32(std::string_view data, uint32_t before = 0) {
  return crc32(data.data(), data.size(), before);
}

}  // namespace pocketllm
