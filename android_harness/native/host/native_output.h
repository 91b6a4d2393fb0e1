// Keeps the log lines of the library off the terminal, and for the error that they explain.
#pragma once
#include <string>

namespace pocketllm::native_output {

// Sends descriptor 2 into memory, or to the file that POCKETLLM_NATIVE_LOG names.
void divert();
// The descriptor that the terminal's stderr has since then.
int terminal();
// Returns "; the library printed: …" of its last lines, "" where it printed none.
std::string explanation();

}  // namespace pocketllm::native_output
