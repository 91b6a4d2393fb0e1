// What a normalised step divides its learning rate by: how large the gradients have been lately.
#pragma once
#include <vector>

#include "optim/applied.h"

namespace pocketllm {

class Normaliser {
 public:
  // Takes a step's mean square of projected gradients; returns the number to divide by, 0 if all
  // were 0: √(Σ w·square / Σ w) over the steps, and at least a tenth of the first ones' median.
  double take(double square, int directions);

 private:
  double sum_ = 0, weight_ = 0;
  std::vector<double> first_;
};

double median(std::vector<double> values);  // of one or more
// A learning rate over what `take` gave, 0 where nothing was ever measured.
double normalised(double lr, double divisor);
// The losses of a step that a run goes on from. Throws InputError: not so many, or no float32.
const std::vector<double>& recorded_losses(const Applied& step, size_t count);

}  // namespace pocketllm
