// The direction z(seed) outside the graph: what the graph computes, bit for bit (FORMAT.md, "Noise").
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pocketllm {

// The hashed words of a variable, one a block of z; `second` gives those of gaussian's angles.
std::vector<uint32_t> noise_words(int32_t seed, uint32_t stream, size_t count, bool second = false);

// The table of the kind codebook, [rows, columns], rows a power of two.
struct Codebook {
  size_t rows, columns;
  std::vector<float> values;
};

// z of a variable: `size` values. The codebook is needed for that kind alone.
std::vector<float> direction(const std::string& kind, const Codebook& codebook, int32_t seed,
                             uint32_t stream, size_t size);

}  // namespace pocketllm
