// How much of a run's files is on the disk: `flushed`, a mark beside them while a run is under way.
// A power failure takes any page that was not flushed, so a bad record behind the mark was lost, and
// one before it was altered. A run that ended has no mark.
#pragma once
#include <cstdint>
#include <string>

namespace pocketllm {

constexpr const char *JOURNAL = "journal", *METRICS = "metrics.jsonl",
                     *EVALUATIONS = "evaluations.jsonl";

// How many bytes of a file are known to be on the disk; UINT64_MAX without a mark.
uint64_t flushed_bytes(const std::string& folder, const std::string& name);
// Flushes a run's files and makes the mark, before more is written. Throws RunError.
void begin_mark(const std::string& folder);
// Flushes a run's files, whole records and lines all of them, and says so in the mark.
void flush_run(const std::string& folder);
// Flushes a run's files and drops the mark: all of them is on the disk.
void end_mark(const std::string& folder);

}  // namespace pocketllm
