#include "host/native_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "host/text.h"

namespace pocketllm::native_output {
namespace {

constexpr uint64_t MOST_BYTES = 1 << 14;
constexpr size_t LINES = 3, LINE_CHARACTERS = 160;

int terminal_descriptor = 2;

int open_log() {
  if (const char* path = std::getenv("POCKETLLM_NATIVE_LOG"))
    return open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
#ifdef SYS_memfd_create
  int log = static_cast<int>(syscall(SYS_memfd_create, "pocketllm-native", 0u));
  if (log >= 0) {
    fcntl(log, F_SETFL, O_APPEND);
    return log;
  }
#endif
  return open("/dev/null", O_RDWR | O_CLOEXEC);
}

bool is_severe(const std::string& line) {
  for (const char* begin : {"ERROR", "FATAL", "E0", "F0"})
    if (begins_with(line, begin)) return true;
  return false;
}

}  // namespace

void divert() {
  int log = open_log(), kept = fcntl(2, F_DUPFD_CLOEXEC, 3);
  if (log < 0 || kept < 0) return;
  terminal_descriptor = kept;
  dup2(log, 2);
  close(log);
}

int terminal() { return terminal_descriptor; }

StdoutToo::StdoutToo() : stdout_(-1) {
  if (terminal_descriptor == 2) return;  // nothing is diverted
  std::fflush(stdout);
  stdout_ = fcntl(1, F_DUPFD_CLOEXEC, 3);
  if (stdout_ >= 0) dup2(2, 1);
}

StdoutToo::~StdoutToo() {
  if (stdout_ < 0) return;
  std::fflush(stdout);
  dup2(stdout_, 1);
  close(stdout_);
}

uint64_t printed_bytes() {
  struct stat status;
  if (terminal_descriptor == 2 || fstat(2, &status) || !S_ISREG(status.st_mode)) return 0;
  return static_cast<uint64_t>(status.st_size);
}

std::string printed(uint64_t from) {
  const uint64_t size = printed_bytes();
  const uint64_t start = std::max(from, size > MOST_BYTES ? size - MOST_BYTES : 0);
  if (start >= size) return "";
  std::string text(size - start, '\0');
  const ssize_t count = pread(2, text.data(), text.size(), static_cast<off_t>(start));
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

std::string explanation() {
  std::vector<std::string> lines, severe;
  std::istringstream stream(printed(0));
  for (std::string line; std::getline(stream, line);) {
    if (line.empty()) continue;
    lines.push_back(line.substr(0, LINE_CHARACTERS));
    if (is_severe(line)) severe.push_back(lines.back());
  }
  auto& shown = severe.empty() ? lines : severe;
  if (shown.size() > LINES) shown.erase(shown.begin(), shown.end() - LINES);
  return shown.empty() ? "" : "; the library printed: " + joined(shown, " / ");
}

}  // namespace pocketllm::native_output
