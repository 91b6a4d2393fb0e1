// The lines of a run: steps in metrics.jsonl, dev evaluations in evaluations.jsonl.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/json.h"

namespace pocketllm {

// A dev evaluation after `step`, on the data of this sum. Learnt text has tokens and no accuracy.
struct Evaluated {
  int64_t step = 0;
  std::optional<double> accuracy;
  double loss = 0;
  int64_t examples = 0;
  std::string data_sha256;
  std::vector<std::pair<std::string, double>> metrics;
  std::optional<int64_t> tokens;

  Json values() const;  // no field that there is none of
};

// Adds a line, or nothing where it has no place. Throws RunError (NoSpaceError on a full disk).
void append_line(const std::string& path, const std::string& line);
void append_evaluation(const std::string& folder, const Evaluated& record);
// The evaluations on one dev set by step; of an empty sum the set that was evaluated last.
std::map<int64_t, Evaluated> read_evaluations(const std::string& folder,
                                              const std::string& data_sha256);
// The one of highest accuracy, then lowest loss, then the earliest; none of none.
const Evaluated* best_evaluation(const std::map<int64_t, Evaluated>& evaluations);
// The step of the best dev evaluation up to a step, that step without a dev set.
int64_t best_step(const std::string& folder, int64_t last);
// Cuts off what stands behind the last whole lines, before more are appended.
void cut_torn_lines(const std::string& folder);
// Cuts off the last lines of metrics.jsonl as long as they are of steps beyond `last`.
void cut_lines_beyond(const std::string& folder, uint64_t last);
// What the steps of metrics.jsonl took together; a damaged line counts nothing.
double seconds_so_far(const std::string& folder);

}  // namespace pocketllm
