#include "journal/flushed.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "errors.h"
#include "host/crc32.h"
#include "host/files.h"
#include "host/little_endian.h"

namespace pocketllm {
namespace {

using Counts = std::array<uint64_t, 3>;

constexpr size_t MARK_BYTES = sizeof(Counts) + 4;
const char* const NAMES[] = {JOURNAL, METRICS, EVALUATIONS};

std::string mark_path(const std::string& folder) { return folder + "/flushed"; }

// The bytes of each file that an open mark says, none where it does not fit its checksum.
Counts counts_in(const File& mark) {
  char data[MARK_BYTES];
  if (mark.size() != sizeof data || !mark.read_at(data, sizeof data, 0)) return {};
  if (crc32(data, sizeof(Counts)) != number_at<uint32_t>(data, sizeof(Counts))) return {};
  return number_at<Counts>(data);
}

uint64_t flush_file(const std::string& path) {
  if (!exists(path)) return 0;
  File file = File::open_to_read(path);
  const uint64_t size = file.size();
  file.sync();
  return size;
}

Counts flush_files(const std::string& folder) {
  Counts counts;
  for (size_t i = 0; i < counts.size(); i++) counts[i] = flush_file(folder + "/" + NAMES[i]);
  return counts;
}

// Writes over an open mark. Without space for it, it is left empty, which says that nothing is known.
void write_mark(File& mark, const Counts& counts) {
  char data[MARK_BYTES];
  std::memcpy(data, counts.data(), sizeof counts);
  const uint32_t sum = crc32(data, sizeof counts);
  std::memcpy(data + sizeof counts, &sum, 4);
  try {
    mark.write_at(data, sizeof data, 0);
  } catch (const std::system_error& error) {
    if (!is_no_space(error)) throw;
    mark.truncate(0);
  }
}

void with_failures(const std::string& folder, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::system_error& error) {  // a file system may say only now that it has no place
    throw RunError(folder + ": cannot be flushed to the disk: " + error.code().message() +
                   "; the steps before are kept, free some space and run the same command again: "
                   "it goes on, or says why not");
  }
}

}  // namespace

uint64_t flushed_bytes(const std::string& folder, const std::string& name) {
  try {
    const Counts counts = counts_in(File::open_to_read(mark_path(folder)));
    for (size_t i = 0; i < counts.size(); i++)
      if (name == NAMES[i]) return counts[i];
    return 0;
  } catch (const std::system_error&) {
    return UINT64_MAX;
  }
}

void begin_mark(const std::string& folder) {
  with_failures(folder, [&] {
    const Counts counts = flush_files(folder);
    File mark = File::open(mark_path(folder), O_RDWR | O_CREAT);
    write_mark(mark, counts);
    mark.sync();
    sync_folder(folder);
  });
}

void flush_run(const std::string& folder) {
  with_failures(folder, [&] {
    File mark = File::open(mark_path(folder), O_RDWR);
    const Counts before = counts_in(mark);
    const Counts counts = flush_files(folder);
    bool has_new_file = false;
    for (size_t i = 0; i < counts.size(); i++) has_new_file |= counts[i] && !before[i];
    if (has_new_file) sync_folder(folder);
    write_mark(mark, counts);
  });
}

void end_mark(const std::string& folder) {
  with_failures(folder, [&] {
    flush_files(folder);
    sync_folder(folder);
    if (unlink(mark_path(folder).c_str()))
      throw std::system_error(errno, std::generic_category(), "flushed");
  });
}

}  // namespace pocketllm
