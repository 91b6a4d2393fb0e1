#include "optim/schedule.h"

#include <algorithm>
#include <cmath>

namespace pocketllm {
namespace {

constexpr double SHARE = 0x1p-20;  // of θ: less vanishes beside eps · z

// The sum of the learning rates of steps 1 to `step`, 0 for none.
double total_rate(const Schedule& settings, int64_t step) {
  const int64_t falling = std::max<int64_t>(1, settings.steps);
  const int64_t counted = std::min(step, falling);
  const auto count = static_cast<double>(counted);
  if (settings.lr_schedule == "linear")
    return settings.lr * (count - static_cast<double>(counted * (counted - 1)) /
                                      static_cast<double>(2 * falling));
  if (settings.lr_schedule == "cosine") {
    // Of cos(k a), k from 0 to n - 1: sin(n a / 2) cos((n - 1) a / 2) / sin(a / 2).
    const double half = M_PI / static_cast<double>(2 * falling);
    const double waves =
        std::sin(count * half) * std::cos(static_cast<double>(counted - 1) * half) / std::sin(half);
    return settings.lr * 0.5 * (count + waves);
  }
  return settings.lr * static_cast<double>(step);
}

double total_decay(const Schedule& settings, int64_t step) {
  return total_rate(settings, step) * settings.weight_decay;
}

double multiples(const Schedule& settings, int64_t step) {
  return std::floor(total_decay(settings, step) / SHARE);
}

}  // namespace

double learning_rate(const Schedule& settings, int64_t step) {
  const auto falling = static_cast<double>(std::max<int64_t>(1, settings.steps));
  const auto before = static_cast<double>(step - 1);
  if (settings.lr_schedule == "linear") return settings.lr * std::max(0.0, 1 - before / falling);
  if (settings.lr_schedule == "cosine")
    return settings.lr * 0.5 * (1 + std::cos(M_PI * std::min(1.0, before / falling)));
  return settings.lr;
}

double decay_share(const Schedule& settings, int64_t step) {
  if (settings.weight_decay == 0) return 0;
  const double before = multiples(settings, step - 1);
  if (multiples(settings, step) == before && step != settings.steps) return 0;
  // The step that took off last: the first of those that passed as many multiples.
  int64_t last = 0, high = step;
  while (last < high) {
    const int64_t middle = (last + high) / 2;
    if (multiples(settings, middle) < before)
      last = middle + 1;
    else
      high = middle;
  }
  if (last == step - 1) return learning_rate(settings, step) * settings.weight_decay;
  return total_decay(settings, step) - total_decay(settings, last);
}

}  // namespace pocketllm
