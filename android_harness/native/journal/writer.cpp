#include "journal/writer.h"

#include <fcntl.h>

#include "errors.h"
#include "host/clock.h"
#include "host/crc32.h"
#include "host/little_endian.h"
#include "journal/flushed.h"
#include "journal/records.h"

namespace pocketllm {
namespace {

constexpr double FLUSH_SECONDS = 1;

File open_journal(const std::string& path) {
  try {
    return File::open(path, O_RDWR);
  } catch (const std::system_error& error) {
    throw RunError(path + ": cannot be written: " + error.code().message() +
                   "; the steps before are kept, make it writable and run the same command again");
  }
}

}  // namespace

void new_journal(const std::string& path, const Json& header) {
  // Keys in the order of their bytes, as every writer has them.
  const std::string text = json_line(Json(nlohmann::json(header)));
  std::string data(MAGIC);
  append_number(data, static_cast<uint32_t>(text.size()));
  data += text;
  append_number(data, crc32(data));
  write_bytes(path, data);
}

JournalWriter::JournalWriter(const std::string& path, const Journal& journal)
    : path_(path),
      file_(open_journal(path)),
      count_(journal.count()),
      flushed_(now()) {
  for (size_t number = count_ ? count_ - 1 : 0; number <= count_; number++) {
    ends_.push_back(journal.ends[number]);
    checksums_.push_back(journal.checksum(number));
  }
  try {
    file_.truncate(ends_.back());
    file_.sync();
  } catch (const std::system_error& error) {
    fail(error);
  }
  begin_mark(folder_of(path_));
}

JournalWriter::~JournalWriter() {
  if (is_closed_) return;
  try {
    close();
  } catch (const std::exception&) {  // another error is under way, and is told
  }
}

void JournalWriter::append(const Applied& step) {
  const std::string record = record_of(step, checksum());
  const uint64_t end = ends_.back();
  try {
    file_.write_at(record.data(), record.size(), end);
  } catch (const std::system_error& error) {
    fail(error);
  }
  count_++;
  ends_ = {end, end + record.size()};
  checksums_ = {checksum(), word_at(record, record.size() - 4)};
  if (now() - flushed_ >= FLUSH_SECONDS) flush();
}

void JournalWriter::flush() {
  flush_run(folder_of(path_));
  flushed_ = now();
}

void JournalWriter::drop_last() {
  count_--;
  ends_.pop_back();
  checksums_.pop_back();
  file_.truncate(ends_.back());
}

void JournalWriter::close() {
  is_closed_ = true;
  try {
    file_.sync();
  } catch (const std::system_error& error) {
    fail(error);
  }
  end_mark(folder_of(path_));
}

void JournalWriter::fail(const std::system_error& error) const {
  throw RunError(path_ + ": cannot be written: " + error.code().message() +
                 "; the steps before are kept, free some space and run the same command again: it "
                 "goes on");
}

}  // namespace pocketllm
