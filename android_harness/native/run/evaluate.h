// What a model gets right: accuracy, loss and metrics on labelled examples, loss on learnt text.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/rows.h"
#include "engine/model.h"

namespace pocketllm {

struct Evaluation {
  double loss = 0;
  int64_t examples = 0;
  std::optional<double> accuracy;  // none of learnt text, which has tokens
  std::vector<std::pair<std::string, double>> metrics;
  std::optional<int64_t> tokens;

  std::string describe() const;
};

// Runs every row once; the prediction is the class or option with the highest logit.
Evaluation evaluate(Model& model, const Rows& data);

}  // namespace pocketllm
