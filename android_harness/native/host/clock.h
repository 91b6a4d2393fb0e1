// Seconds since some moment, which no one sets back.
#pragma once
#include <chrono>

namespace pocketllm {

inline double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace pocketllm
