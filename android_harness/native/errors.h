// The two ways to end badly; caught in main alone, which prints one line.
#pragma once
#include <stdexcept>

namespace pocketllm {

// Something the user gave is wrong (a flag, a file, a row): exit code 2. The message is one line:
// what, what was found, what was expected, what to do.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Something failed while running (disk full, loss not finite): exit code 1, same form.
struct RunError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A loss is not finite.
struct LossError : RunError {
  using RunError::RunError;
};

// The disk is full: what can make room is tried before the run ends.
struct NoSpaceError : RunError {
  using RunError::RunError;
};

// Ctrl-C or SIGTERM came.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

}  // namespace pocketllm
