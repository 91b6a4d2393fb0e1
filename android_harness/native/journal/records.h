// The records of a journal (tflite_models/JOURNAL.md): what each step applied to the parameters.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "optim/applied.h"

namespace pocketllm {

constexpr std::string_view MAGIC = "PLLMJRN3";
constexpr size_t HEAD_BYTES = 28, SHORTEST = HEAD_BYTES + 4;  // a head and a checksum
constexpr size_t MOST_LOSSES = 1024, MOST_PASSES = 1024;

// A step's record; `before` is the checksum of the record before, of the header for the first.
std::string record_of(const Applied& step, uint32_t before);
// The length of the record at a place, 0 where none is whole there.
size_t sound_bytes(std::string_view data, size_t place, uint32_t before);
// The length that the head at a place says, 0 of an impossible one.
size_t size_at(std::string_view data, size_t place);
Applied decoded(std::string_view data, size_t place);  // of a sound record
// The highest step of the sound records behind a place, 0 of none; UINT64_MAX where finding out
// takes more than 256 MiB of checksums: such bytes were made to do so.
uint64_t last_step_behind(std::string_view data, size_t place);

}  // namespace pocketllm
