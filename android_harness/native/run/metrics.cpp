#include "run/metrics.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "data/rows.h"
#include "errors.h"

namespace pocketllm {
namespace {

constexpr size_t POSITIVE = 1;  // MultiRC's F1 is that of this class, right answers

bool is_right(const Prediction& prediction) {
  const auto& golds = prediction.golds;
  return std::find(golds.begin(), golds.end(), prediction.chosen) != golds.end();
}

double class_f1(const std::vector<Prediction>& predictions, size_t number) {
  double right = 0, wrong = 0;
  for (const Prediction& prediction : predictions) {
    const bool is_chosen = prediction.chosen == number, is_gold = prediction.golds[0] == number;
    right += is_chosen && is_gold;
    wrong += is_chosen != is_gold;
  }
  return right != 0 ? 2 * right / (2 * right + wrong) : 0.0;
}

// F1 of every class that was predicted or right, unweighted mean.
double macro_f1(const std::vector<Prediction>& predictions) {
  std::set<size_t> classes;
  for (const Prediction& prediction : predictions) {
    classes.insert(prediction.golds[0]);
    classes.insert(prediction.chosen);
  }
  double sum = 0;
  for (size_t number : classes) sum += class_f1(predictions, number);
  return sum / static_cast<double>(classes.size());
}

// The share of groups that are all right; none where answers of a group may be missing.
std::optional<double> share_of_groups(const std::vector<Prediction>& predictions) {
  std::map<uint32_t, bool> right;
  for (const Prediction& prediction : predictions) {
    if (prediction.group == NO_GROUP) return {};
    const bool before = right.emplace(prediction.group, true).first->second;
    right[prediction.group] = before && is_right(prediction);
  }
  double sum = 0;
  for (const auto& [group, is_whole] : right) sum += is_whole;
  return sum / static_cast<double>(right.size());
}

}  // namespace

double accuracy(const std::vector<Prediction>& predictions) {
  double right = 0;
  for (const Prediction& prediction : predictions) right += is_right(prediction);
  return right / static_cast<double>(predictions.size());
}

std::vector<std::pair<std::string, double>> measured(const std::vector<std::string>& names,
                                                     const std::vector<std::string>& answer_scores,
                                                     const std::vector<Prediction>& predictions) {
  std::vector<std::pair<std::string, double>> values;
  for (const std::string& name : names) {
    const auto scored = std::find(answer_scores.begin(), answer_scores.end(), name);
    std::optional<double> value;
    if (scored != answer_scores.end()) {
      const auto place = static_cast<size_t>(scored - answer_scores.begin());
      double sum = 0;
      for (const Prediction& prediction : predictions) sum += prediction.scores[place];
      value = sum / static_cast<double>(predictions.size());
    } else if (name == "macro_f1") {
      value = macro_f1(predictions);
    } else if (name == "f1_a") {
      value = class_f1(predictions, POSITIVE);
    } else if (name == "exact_match") {
      value = share_of_groups(predictions);
    } else {
      throw InputError("the metric '" + name + "' is unknown here; take `pocketllm eval`");
    }
    if (value) values.emplace_back(name, *value);
  }
  return values;
}

}  // namespace pocketllm
