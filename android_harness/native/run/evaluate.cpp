#include "run/evaluate.h"

#include <algorithm>
#include <cstddef>
#include <cmath>

#include "data/batches.h"
#include "host/signals.h"
#include "host/text.h"
#include "run/metrics.h"

namespace pocketllm {
namespace {

// The logits of an example's rows together: those of its only row, or one of each option.
std::vector<Prediction> predictions_of(const Rows& data,
                                       const std::vector<std::vector<float>>& logits,
                                       const std::string& scoring) {
  std::vector<Prediction> predictions;
  size_t row = 0;
  for (size_t i = 0; i < data.size(); i++) {
    const Example example = data.example(i);
    std::vector<float> scores;
    for (size_t n = scoring == "gold" ? example.sequences.size() : 1; n; n--, row++)
      scores.insert(scores.end(), logits[row].begin(), logits[row].end());
    const auto highest = std::max_element(scores.begin(), scores.end());  // the first of equals
    Prediction prediction{static_cast<size_t>(highest - scores.begin()), example.golds,
                          example.group, {}};
    for (size_t name = 0; name < data.answer_scores.size(); name++)
      prediction.scores.push_back(data.score(example, name, prediction.chosen));
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

}  // namespace

std::string Evaluation::describe() const {
  if (!accuracy)
    return formatted("loss %.4f, perplexity %.4g, ", loss, std::exp(loss)) + std::to_string(*tokens) +
           " tokens";
  std::string line = formatted("accuracy %.4f, loss %.4f", *accuracy, loss);
  for (const auto& [name, value] : metrics) line += ", " + name + formatted(" %.4f", value);
  return line;
}

Evaluation evaluate(Model& model, const Rows& data) {
  const Bundle& bundle = model.bundle();
  std::vector<Row> rows;
  for (size_t i = 0; i < data.size(); i++)
    for (Row& row : evaluation_rows(data.example(i), bundle.scoring)) rows.push_back(std::move(row));
  std::vector<std::vector<float>> logits(rows.size());
  double loss = 0, weight = 0;
  Batches batches(rows, data, bundle);
  for (Batch batch; batches.next(batch);) {
    signals::check();
    const Forward result = model.forward(batch, true);
    const size_t columns = result.logits.size() / static_cast<size_t>(bundle.batch_size);
    for (size_t i = 0; i < batch.members.size(); i++) {
      const auto first = result.logits.begin() + static_cast<std::ptrdiff_t>(i * columns);
      logits[batch.members[i]].assign(first, first + static_cast<std::ptrdiff_t>(columns));
    }
    loss += double{result.loss} * double{result.weight_sum};
    weight += double{result.weight_sum};
  }
  Evaluation evaluation;
  evaluation.loss = loss / weight;
  evaluation.examples = static_cast<int64_t>(data.size());
  if (bundle.scoring == "tokens") {
    evaluation.tokens = static_cast<int64_t>(data.learnt_tokens());
    return evaluation;
  }
  const auto predictions = predictions_of(data, logits, bundle.scoring);
  evaluation.accuracy = accuracy(predictions);
  evaluation.metrics = measured(data.metrics, data.answer_scores, predictions);
  return evaluation;
}

}  // namespace pocketllm
