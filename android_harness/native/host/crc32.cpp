#include "host/crc32.h"

#include <array>
#include <cstring>

namespace pocketllm {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xEDB88320u : 0u);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < 8; k++)
    for (size_t byte = 0; byte < 256; byte++)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 255];
  return tables;
}

constexpr Tables TABLES = make_tables();

}  // namespace

uint32_t crc32(const void* data, size_t bytes, uint32_t before) {
  auto at = static_cast<const unsigned char*>(data);
  uint32_t sum = ~before;
  for (; bytes >= 8; at += 8, bytes -= 8) {  // eight bytes at once: snapshots are as large as θ
    uint32_t low, high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= sum;
    sum = TABLES[7][low & 255] ^ TABLES[6][low >> 8 & 255] ^ TABLES[5][low >> 16 & 255] ^
          TABLES[4][low >> 24] ^ TABLES[3][high & 255] ^ TABLES[2][high >> 8 & 255] ^
          TABLES[1][high >> 16 & 255] ^ TABLES[0][high >> 24];
  }
  for (; bytes; at++, bytes--) sum = (sum >> 8) ^ TABLES[0][(sum ^ *at) & 255];
  return ~sum;
}

}  // namespace pocketllm
