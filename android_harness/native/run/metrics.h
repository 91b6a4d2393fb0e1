// SuperGLUE's metrics beside accuracy, computed from predictions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pocketllm {

// The model's choice for one example.
struct Prediction {
  size_t chosen;
  std::vector<uint32_t> golds;
  uint32_t group;
  std::vector<double> scores;  // of the chosen option, one a name of answer_scores
};

double accuracy(const std::vector<Prediction>& predictions);
// The metrics of these names, without those that need groups where there are none.
std::vector<std::pair<std::string, double>> measured(const std::vector<std::string>& names,
                                                     const std::vector<std::string>& answer_scores,
                                                     const std::vector<Prediction>& predictions);

}  // namespace pocketllm
