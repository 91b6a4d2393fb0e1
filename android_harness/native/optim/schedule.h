// The learning rate and the weight decay over the steps of a run, the same for every optimizer.
#pragma once
#include <cstdint>
#include <string>

namespace pocketllm {

struct Schedule {
  double lr = 0, weight_decay = 0;
  std::string lr_schedule = "constant";  // or "linear", "cosine"
  int64_t steps = 0;
};

// The learning rate of step 1, 2, …
double learning_rate(const Schedule& settings, int64_t step);
// The share of θ that a step takes off; 0 at a step that takes nothing. A small share is put by
// until the sum of all steps' reaches what float32 resolves, and the run's last step takes the rest.
double decay_share(const Schedule& settings, int64_t step);

}  // namespace pocketllm
