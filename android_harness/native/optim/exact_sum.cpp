#include "optim/exact_sum.h"

#include <cmath>
#include <cstddef>

namespace pocketllm {

double exact_sum(const std::vector<double>& values) {
  std::vector<double> partials;  // that do not overlap, smallest first (Shewchuk)
  for (double x : values) {
    if (!std::isfinite(x)) return x;
    size_t kept = 0;
    for (double y : partials) {
      if (std::abs(x) < std::abs(y)) std::swap(x, y);
      const double high = x + y, low = y - (high - x);
      if (low != 0) partials[kept++] = low;
      x = high;
    }
    partials.resize(kept);
    partials.push_back(x);
  }
  if (partials.empty()) return 0;
  size_t n = partials.size();
  double high = partials[--n], low = 0;
  while (n > 0) {
    const double x = high, y = partials[--n];
    high = x + y;
    low = y - (high - x);
    if (low != 0) break;
  }
  // Halfway cases round to even with regard to what is below.
  if (n > 0 && ((low < 0 && partials[n - 1] < 0) || (low > 0 && partials[n - 1] > 0))) {
    const double y = low * 2, x = high + y;
    if (y == x - high) high = x;
  }
  return high;
}

}  // namespace pocketllm
