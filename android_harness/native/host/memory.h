// Peak memory of this process, sampled from /proc/self.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace pocketllm {

// In bytes, 0 without /proc: the highest RssAnon + RssShmem (pages that cannot be dropped), and the
// highest VmHWM (all resident pages).
struct Peak {
  uint64_t anon_bytes = 0, rss_bytes = 0;
};

// Samples in a thread of its own from construction on.
class PeakMemory {
 public:
  PeakMemory();
  ~PeakMemory();
  Peak peak();  // the highest values so far

 private:
  void sample();
  std::atomic<uint64_t> anon_bytes_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_stopped_ = false;
  std::thread thread_;
};

// Drops the resident pages of a mapped file (its resolved path); they can be read again.
void release_file_pages(const std::string& path);

}  // namespace pocketllm
