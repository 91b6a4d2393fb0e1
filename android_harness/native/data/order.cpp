#include "data/order.h"

#include <algorithm>
#include <numeric>

namespace pocketllm {
namespace {

constexpr uint32_t EPOCH_SALT = 0x27D4EB2F, STEP_SALT = 0x165667B1, DIRECTION_SALT = 0x94D049BB;

uint32_t low(int64_t value) { return static_cast<uint32_t>(value); }

}  // namespace

uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x21F0AAADu;
  x = (x ^ (x >> 15)) * 0xD35A2D97u;
  return x ^ (x >> 15);
}

int32_t step_seed(int64_t seed, int64_t step) {
  return static_cast<int32_t>(mix(mix(low(seed) ^ STEP_SALT) ^ mix(low(step))));
}

std::vector<int32_t> direction_seeds(int32_t seed, int count) {
  std::vector<int32_t> seeds;
  for (int number = 1; number <= count; number++)
    seeds.push_back(static_cast<int32_t>(mix(low(seed) ^ mix(low(number) ^ DIRECTION_SALT))));
  return seeds;
}

std::vector<size_t> Order::members(uint64_t step) {
  std::vector<size_t> members;
  const uint64_t first = (step - 1) * batch_size_;
  for (uint64_t place = first; place < first + batch_size_; place++)
    members.push_back(epoch(place / examples_)[place % examples_]);
  return members;
}

const std::vector<uint32_t>& Order::epoch(uint64_t number) {
  Epoch& kept = kept_[number % 2];  // a step may see the end of one and the beginning of the next
  if (kept.number == number) return kept.places;
  const uint32_t key = mix(mix(low(seed_) ^ EPOCH_SALT) ^ mix(low(static_cast<int64_t>(number))));
  kept.places.resize(examples_);
  std::iota(kept.places.begin(), kept.places.end(), 0u);
  std::stable_sort(kept.places.begin(), kept.places.end(),
                   [key](uint32_t a, uint32_t b) { return mix(a ^ key) < mix(b ^ key); });
  kept.number = number;
  return kept.places;
}

}  // namespace pocketllm
