#include "optim/normaliser.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "errors.h"

namespace pocketllm {
namespace {

constexpr double KEPT = 0.99, FLOOR_SHARE = 0.1;
constexpr size_t FIRST = 20;

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  if (values.size() % 2) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

double Normaliser::take(double square, int directions) {
  double kept = 1;  // a product, not a power: the same bits everywhere
  for (int i = 0; i < directions; i++) kept *= KEPT;
  sum_ = kept * sum_ + (1 - kept) * square;
  weight_ = kept * weight_ + (1 - kept);
  if (first_.size() < FIRST) first_.push_back(std::sqrt(square));
  return std::max(std::sqrt(sum_ / weight_), FLOOR_SHARE * median(first_));
}

double normalised(double lr, double divisor) { return divisor != 0 ? lr / divisor : 0.0; }

const std::vector<double>& recorded_losses(const Applied& step, size_t count) {
  const double largest = std::numeric_limits<float>::max();
  bool are_sound = step.losses.size() == count;
  for (double loss : step.losses) are_sound = are_sound && std::abs(loss) <= largest;
  if (are_sound) return step.losses;
  throw InputError("step " + std::to_string(step.step) + " of the journal holds " +
                   std::to_string(step.losses.size()) + " losses, expected " +
                   std::to_string(count) +
                   " finite ones; it was altered: restore it from a copy, or choose another --run");
}

}  // namespace pocketllm
