// Writing the journal of a run: a record in one call, so that no kill loses one, flushed to the disk
// every second and before whatever takes long.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "host/files.h"
#include "host/json.h"
#include "journal/reader.h"
#include "optim/applied.h"

namespace pocketllm {

// Writes a journal without steps, by rename. Throws RunError.
void new_journal(const std::string& path, const Json& header);

// Appends steps; what was not finished at the end, or lost, is cut off. Every failure is a RunError.
class JournalWriter {
 public:
  JournalWriter(const std::string& path, const Journal& journal);
  ~JournalWriter();

  uint64_t count() const { return count_; }
  uint32_t checksum() const { return checksums_.back(); }
  void append(const Applied& step);  // it counts from here on
  void flush();
  void drop_last();  // takes back the step that was appended last, once
  void close();      // flushes, and says that all of the run is on the disk

 private:
  [[noreturn]] void fail(const std::system_error& error) const;

  std::string path_;
  File file_;
  uint64_t count_;
  // Of the last record and the one before, which `drop_last` goes back to.
  std::vector<uint64_t> ends_;
  std::vector<uint32_t> checksums_;
  double flushed_;  // when
  bool is_closed_ = false;
};

}  // namespace pocketllm
