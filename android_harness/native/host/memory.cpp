#include "host/memory.h"

#include <signal.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstring>

namespace pocketllm {
namespace {

constexpr auto SAMPLE = std::chrono::milliseconds(20);

Peak read_status() {
  Peak now;
  FILE* file = std::fopen("/proc/self/status", "re");
  if (!file) return now;
  char line[256];
  unsigned long long kilobytes;
  while (std::fgets(line, sizeof line, file)) {
    if (std::sscanf(line, "RssAnon: %llu kB", &kilobytes) == 1 ||
        std::sscanf(line, "RssShmem: %llu kB", &kilobytes) == 1)
      now.anon_bytes += kilobytes * 1024;
    else if (std::sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1)
      now.rss_bytes = kilobytes * 1024;
  }
  std::fclose(file);
  return now;
}

}  // namespace

PeakMemory::PeakMemory() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's
  thread_ = std::thread(&PeakMemory::sample, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

PeakMemory::~PeakMemory() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    is_stopped_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Peak PeakMemory::peak() {
  Peak now = read_status();
  uint64_t highest = anon_bytes_;
  while (highest < now.anon_bytes && !anon_bytes_.compare_exchange_weak(highest, now.anon_bytes)) {
  }
  return {anon_bytes_, now.rss_bytes};
}

void PeakMemory::sample() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, SAMPLE, [this] { return is_stopped_; })) peak();
}

void release_file_pages(const std::string& path) {
  FILE* file = std::fopen("/proc/self/maps", "re");
  if (!file) return;
  char line[8192];
  while (std::fgets(line, sizeof line, file)) {
    unsigned long first, last;
    int name = 0;
    line[std::strcspn(line, "\n")] = '\0';
    if (std::sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &first, &last, &name) < 2 || !name) continue;
    if (path == line + name)
      madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  std::fclose(file);
}

}  // namespace pocketllm
