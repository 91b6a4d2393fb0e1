// Reading the journal of a run.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "host/json.h"
#include "optim/applied.h"

namespace pocketllm {

struct Journal {
  std::string data;  // of the whole file
  Json header;
  std::vector<uint64_t> ends;  // bytes up to the end of the header, and of each step's record
  uint64_t torn_bytes = 0;  // behind the last of `ends`, left out
  uint64_t lost_steps = 0;  // at least so many among them

  size_t count() const { return ends.size() - 1; }
  Applied step(size_t number) const;  // from 1 on
  uint32_t checksum(size_t number) const;  // of a step's record; of the header for 0
};

// Reads a journal; what was not finished at its end, or lost in a power failure, is left out.
// Throws InputError: not there, damaged, or of another version.
Journal read_journal(const std::string& path);

}  // namespace pocketllm
