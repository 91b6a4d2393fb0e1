// Sums of float64 that are exact and rounded once, as Python's math.fsum.
#pragma once
#include <vector>

namespace pocketllm {

double exact_sum(const std::vector<double>& values);

}  // namespace pocketllm
