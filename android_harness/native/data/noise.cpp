#include "data/noise.h"

#include <cmath>

#include "data/order.h"

namespace pocketllm {
namespace {

constexpr uint32_t COUNTER_SALT = 0x9E3779B9, SEED_SALT = 0x7F4A7C15, STREAM_SALT = 0x85EBCA6B;
constexpr uint32_t SECOND_WORD_SALT = 0xC2B2AE35;
constexpr size_t SIGNS = 16;  // values a block of the kind rademacher

uint32_t word(uint32_t x) {
  x *= 0x21F0AAADu;
  x ^= x >> 15;
  return x * 0xD35A2D97u;
}

std::vector<float> box_muller(int32_t seed, uint32_t stream, size_t size) {
  const size_t pairs = (size + 1) / 2;
  const auto radii = noise_words(seed, stream, pairs);
  const auto turns = noise_words(seed, stream, pairs, true);
  std::vector<float> z(size);
  for (size_t i = 0; i < size; i++) {
    const size_t pair = i % pairs;
    // 23 bits and a half: never 0, never 1, exact in float32.
    const float uniform = (static_cast<float>(radii[pair] >> 9) + 0.5f) * 0x1p-23f;
    const float angle =
        static_cast<float>(turns[pair] >> 8) * static_cast<float>(2 * M_PI * 0x1p-24);
    const double radius = std::sqrt(-2 * std::log(double{uniform}));
    z[i] = static_cast<float>(radius *
                              (i < pairs ? std::cos(double{angle}) : std::sin(double{angle})));
  }
  return z;
}

}  // namespace

std::vector<uint32_t> noise_words(int32_t seed, uint32_t stream, size_t count, bool second) {
  uint32_t key = mix(mix(static_cast<uint32_t>(seed) ^ SEED_SALT) ^ mix(stream ^ STREAM_SALT));
  if (second) key = mix(key ^ SECOND_WORD_SALT);
  std::vector<uint32_t> words(count);
  for (size_t i = 0; i < count; i++)
    words[i] = word(mix(static_cast<uint32_t>(i) ^ COUNTER_SALT) ^ key);
  return words;
}

std::vector<float> direction(const std::string& kind, const Codebook& codebook, int32_t seed,
                             uint32_t stream, size_t size) {
  if (kind == "gaussian") return box_muller(seed, stream, size);
  const bool is_signs = kind == "rademacher";
  const size_t columns = is_signs ? SIGNS : codebook.columns;
  const auto words = noise_words(seed, stream, (size + columns - 1) / columns);
  int shift = 32;  // the word's top bits choose a row
  for (size_t rows = codebook.rows; rows > 1; rows /= 2) shift--;
  std::vector<float> z(size);
  for (size_t i = 0; i < size; i++) {
    const uint32_t chosen = words[i / columns];
    const size_t column = i % columns;
    if (is_signs)
      z[i] = chosen >> (16 + column) & 1 ? 1.0f : -1.0f;
    else
      z[i] = codebook.values[(chosen >> shift) * columns + column];
  }
  return z;
}

}  // namespace pocketllm
