#include "host/sha256.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "host/files.h"
#include "host/sha256_blocks.h"

namespace pocketllm {
namespace {

constexpr size_t READ_BYTES = 1 << 18;

}  // namespace

Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::add(const void* data, size_t bytes) {
  auto at = static_cast<const uint8_t*>(data);
  size_t filled = bytes_ % 64;
  bytes_ += bytes;
  if (filled) {
    size_t part = std::min(bytes, 64 - filled);
    std::memcpy(block_.data() + filled, at, part);
    at += part;
    bytes -= part;
    if (filled + part < 64) return;
    sha256_blocks(state_, block_.data(), 1);
  }
  sha256_blocks(state_, at, bytes / 64);
  std::memcpy(block_.data(), at + bytes / 64 * 64, bytes % 64);
}

std::array<uint8_t, 32> Sha256::digest() {
  const uint64_t bits = bytes_ * 8;
  const uint8_t end[64] = {0x80};
  add(end, 1 + (119 - bytes_ % 64) % 64);  // so that the length ends a block
  uint8_t length[8];
  for (int i = 0; i < 8; i++) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  add(length, 8);
  std::array<uint8_t, 32> digest;
  for (size_t i = 0; i < 32; i++)
    digest[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

std::string Sha256::hex() {
  std::string text;
  for (uint8_t byte : digest()) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string sha256_of_file(const std::string& path) {
  File file = File::open_to_read(path);
  auto piece = std::make_unique<char[]>(READ_BYTES);
  Sha256 sum;
  while (size_t bytes = file.read_some(piece.get(), READ_BYTES)) sum.add(piece.get(), bytes);
  return sum.hex();
}

}  // namespace pocketllm
