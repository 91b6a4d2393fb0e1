#include "data/row_checks.h"

#include <algorithm>

namespace pocketllm {
namespace {

std::string outside(const std::string& what, int64_t found, int64_t least, int64_t most) {
  if (found >= least && found <= most) return "";
  return what + " " + std::to_string(found) + ", expected " + std::to_string(least) + " to " +
         std::to_string(most);
}

// A position is one of the row's tokens; an option has a token before it and ends in the row.
std::string problem_of_targets(const Sequence& sequence, const Bundle& bundle) {
  const auto names = bundle.targets();
  if (names.size() == 1) return outside(names[0], sequence.targets[0], 0, sequence.tokens - 1);
  if (names.empty()) return "";
  const int start = sequence.targets[0];
  const std::string problem = outside(names[0], start, 1, sequence.tokens - 1);
  if (!problem.empty()) return problem;
  return outside(names[1], sequence.targets[1], 1,
                 std::min(sequence.tokens - start, bundle.option_tokens));
}

std::string problem_of_sequence(const Sequence& sequence, const Bundle& bundle) {
  const int longest = bundle.lengths.back();
  if (sequence.tokens > longest)
    return std::to_string(sequence.tokens) + " tokens, expected 1 to " + std::to_string(longest);
  std::string problem = problem_of_targets(sequence, bundle);
  for (int i = 0; i < sequence.tokens && problem.empty(); i++) {
    problem = outside("token", sequence.input_ids[i], 0, bundle.vocabulary - 1);
    if (problem.empty() && sequence.loss_mask)
      problem = outside("loss_mask", sequence.loss_mask[i], 0, 1);
  }
  return problem;
}

}  // namespace

std::string problem_of(const Example& example, const Bundle& bundle) {
  const size_t sequences = example.sequences.size();
  if (bundle.scoring != "gold" && sequences != bundle.sequences_per_row())
    return std::to_string(sequences) + " sequences, expected " +
           std::to_string(bundle.sequences_per_row());
  for (const Sequence& sequence : example.sequences) {
    const std::string problem = problem_of_sequence(sequence, bundle);
    if (!problem.empty()) return problem;
  }
  if ((bundle.scoring == "tokens") != example.golds.empty())
    return std::to_string(example.golds.size()) + " right answers, expected " +
           (bundle.scoring == "tokens" ? "0" : "1 or more");
  const size_t choices = bundle.scoring == "words" ? bundle.words : sequences;
  const auto last = static_cast<int64_t>(choices) - 1;
  for (uint32_t gold : example.golds) {
    const std::string problem = outside("the right answer", gold, 0, last);
    if (!problem.empty()) return problem;
  }
  return "";
}

}  // namespace pocketllm
