// The compression function of SHA-256.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace pocketllm {

// Takes whole blocks of 64 bytes into the state.
void sha256_blocks(std::array<uint32_t, 8>& state, const uint8_t* data, size_t blocks);

}  // namespace pocketllm
