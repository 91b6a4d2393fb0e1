// Keeps the log lines of the library off the terminal, and for the error that they explain.
#pragma once
#include <cstdint>
#include <string>

namespace pocketllm::native_output {

// Sends descriptor 2 into memory, or to the file that POCKETLLM_NATIVE_LOG names.
void divert();
// The descriptor that the terminal's stderr has since then.
int terminal();
// How many bytes it printed so far.
uint64_t printed_bytes();
// Returns what it printed behind the first `from` bytes, of more than 16 kB the end.
std::string printed(uint64_t from);
// Returns "; the library printed: …" of its last lines, "" where it printed none.
std::string explanation();

// While it lives, what is printed to stdout is kept too: libraries of accelerators print there.
class StdoutToo {
 public:
  StdoutToo();
  ~StdoutToo();
  StdoutToo(const StdoutToo&) = delete;

 private:
  int stdout_;
};

}  // namespace pocketllm::native_output
