// A lock on a folder: one process at a time trains in a run directory.
#pragma once
#include <string>

#include "host/files.h"

namespace pocketllm {

// Keeps every other process out of a run directory, which is made, until the end of its life.
class RunLock {
 public:
  // Throws InputError where another process holds it, RunError where it cannot be had.
  explicit RunLock(const std::string& folder);

 private:
  File file_;
};

}  // namespace pocketllm
