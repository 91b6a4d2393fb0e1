// Holds this program against tests/conformance: vectors that every implementation has to reproduce.
#pragma once
#include <string>

namespace pocketllm {

// Says a line for each file that fits. Throws RunError for the first value that is another.
void check_conformance(const std::string& folder);

}  // namespace pocketllm
