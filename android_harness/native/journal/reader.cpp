#include "journal/reader.h"

#include "errors.h"
#include "host/crc32.h"
#include "host/files.h"
#include "host/little_endian.h"
#include "host/text.h"
#include "journal/flushed.h"
#include "journal/records.h"

namespace pocketllm {
namespace {

void check_magic(const std::string& data, const std::string& path) {
  if (begins_with(data, MAGIC)) return;
  if (begins_with(data, "PLLMGRD"))
    throw InputError(path +
                     ": a run with gradients, which this program does not take; go on with "
                     "`pocketllm train`, or choose another --run");
  const std::string_view name = MAGIC.substr(0, 7);
  if (begins_with(data, name) && data.size() > 7 && data[7] >= '0' && data[7] <= '9')
    throw InputError(path + ": a journal of version " + data[7] +
                     ", this program reads version 3; train again in a new --run, or use the "
                     "version that wrote this one");
  throw InputError(path + ": no journal; give the --run directory of `pocketllm train`");
}

// Reads the header; returns where the records begin.
void read_header(Journal& journal, const std::string& path) {
  const std::string& data = journal.data;
  check_magic(data, path);
  const size_t size = data.size() >= 12 ? word_at(data, 8) : 0;
  if (data.size() < 12 + size + 4)
    throw InputError(path + ": no journal; give the --run directory of `pocketllm train`");
  const uint32_t sum = crc32(std::string_view(data).substr(0, 12 + size));
  journal.header = Json::parse(data.begin() + 12, data.begin() + 12 + static_cast<std::ptrdiff_t>(size),
                               nullptr, false);
  if (sum != word_at(data, 12 + size) || !journal.header.is_object())
    throw InputError(path + ": the header is damaged; restore the file from a copy");
  journal.ends.push_back(12 + size + 4);
}

}  // namespace

Applied Journal::step(size_t number) const { return decoded(data, ends.at(number - 1)); }

uint32_t Journal::checksum(size_t number) const { return word_at(data, ends.at(number) - 4); }

Journal read_journal(const std::string& path) {
  Journal journal;
  auto data = read_file(path);
  if (!data)
    throw InputError(path + ": cannot be read; give the --run directory of `pocketllm train`");
  journal.data = std::move(*data);
  read_header(journal, path);
  uint64_t end = journal.ends[0];
  while (size_t size = sound_bytes(journal.data, end, word_at(journal.data, end - 4))) {
    const size_t number = journal.ends.size();
    if (word_at(journal.data, end) != number)
      throw InputError(path + ": record " + std::to_string(number) + " holds step " +
                       std::to_string(word_at(journal.data, end)) + ", expected step " +
                       std::to_string(number) +
                       "; it was written by another version, use that one");
    end += size;
    journal.ends.push_back(end);
  }
  const uint64_t flushed = flushed_bytes(folder_of(path), JOURNAL);
  // A file that is shorter than the mark was cut by hand, or is a copy: the mark says nothing.
  const bool has_mark = flushed <= journal.data.size();
  const uint64_t behind = end < journal.data.size() ? last_step_behind(journal.data, end) : 0;
  if (has_mark ? end < flushed : behind > 0)
    throw InputError(path + ": record " + std::to_string(journal.ends.size()) +
                     " is damaged (its checksum does not fit); the steps before it are sound, but "
                     "the file was altered: restore it from a copy");
  journal.torn_bytes = journal.data.size() - end;
  if (has_mark && behind != UINT64_MAX && behind >= journal.ends.size())
    journal.lost_steps = behind - journal.ends.size() + 1;
  return journal;
}

}  // namespace pocketllm
