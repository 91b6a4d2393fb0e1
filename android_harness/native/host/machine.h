// The machine that makes a run's steps: processor, cores, memory, system.
#pragma once
#include <cstdint>
#include <string>

namespace pocketllm {

int cores();              // that this process may use: the default of --threads
std::string processor();  // its name
// What decides which kernels a library chooses, beside the name: architecture, capabilities, flags.
std::string instructions();
uint64_t memory_bytes();
std::string system_name();  // kernel, release and architecture

}  // namespace pocketllm
