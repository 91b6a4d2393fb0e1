// The order of the data: which examples a step sees, and the seeds of its noise (FORMAT.md).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pocketllm {

// Hashes a number, one to one.
uint32_t mix(uint32_t x);

// The noise seed of a step, 1 for the first.
int32_t step_seed(int64_t seed, int64_t step);
// The noise seeds of a step's directions, from the step's.
std::vector<int32_t> direction_seeds(int32_t seed, int count);

// Chooses the examples of steps: epochs of random orders, of which the last two are kept.
class Order {
 public:
  Order(size_t examples, size_t batch_size, int64_t seed)
      : examples_(examples), batch_size_(batch_size), seed_(seed) {}
  std::vector<size_t> members(uint64_t step);

 private:
  struct Epoch {
    uint64_t number = UINT64_MAX;
    std::vector<uint32_t> places;
  };
  const std::vector<uint32_t>& epoch(uint64_t number);

  size_t examples_, batch_size_;
  int64_t seed_;
  Epoch kept_[2];
};

}  // namespace pocketllm
