#include "data/batches.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace pocketllm {
namespace {

// Of a target, what a filler row has, so that its one token makes an ordinary row.
int32_t filler(const std::string& name) {
  return name == "option_start" || name == "option_tokens" ? 1 : 0;
}

}  // namespace

int Row::tokens() const {
  int longest = 0;
  for (const Sequence& sequence : sequences) longest = std::max(longest, sequence.tokens);
  return longest;
}

Row training_row(const Example& example, const std::string& scoring) {
  if (scoring == "tokens") return {example.sequences, -1, 1};
  const uint32_t gold = example.golds.at(0);
  if (scoring == "gold") return {{example.sequences.at(gold)}, -1, 1};
  return {example.sequences, static_cast<int>(gold), 1};
}

std::vector<Row> evaluation_rows(const Example& example, const std::string& scoring) {
  if (scoring != "gold") return {training_row(example, scoring)};
  std::vector<Row> rows;
  for (size_t i = 0; i < example.sequences.size(); i++)
    rows.push_back({{example.sequences[i]}, -1, i == example.golds.at(0) ? 1.0f : 0.0f});
  return rows;
}

Batches::Batches(const std::vector<Row>& rows, const Rows& data, const Bundle& bundle)
    : rows_(rows), data_(data), bundle_(bundle), order_(rows.size()) {
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::stable_sort(order_.begin(), order_.end(), [&rows](size_t a, size_t b) {
    return rows[a].tokens() > rows[b].tokens();
  });
}

bool Batches::next(Batch& batch) {
  if (first_ >= order_.size()) return false;
  const auto rows = static_cast<size_t>(bundle_.batch_size);
  const size_t last = std::min(order_.size(), first_ + rows);
  batch.members.assign(order_.begin() + static_cast<std::ptrdiff_t>(first_),
                       order_.begin() + static_cast<std::ptrdiff_t>(last));
  first_ = last;
  const Row& longest = rows_[batch.members[0]];
  batch.tokens = *std::lower_bound(bundle_.lengths.begin(), bundle_.lengths.end(),
                                   longest.tokens());
  const auto width = static_cast<size_t>(batch.tokens);
  const size_t slots = rows * longest.sequences.size();
  std::vector<int32_t> ids(slots * width, bundle_.pad_id), mask(slots * width, 0), learnt;
  for (size_t slot = 0; slot < slots; slot++) mask[slot * width] = 1;  // a filler sees itself
  const bool has_loss_mask = longest.sequences[0].loss_mask;
  if (has_loss_mask) learnt.assign(slots * width, 0);
  std::vector<std::vector<int32_t>> targets;
  for (const std::string& name : data_.targets) targets.emplace_back(slots, filler(name));
  std::vector<int32_t> label(rows, 0);
  batch.weight.assign(rows, 0.0f);

  size_t slot = 0;
  for (size_t i = 0; i < batch.members.size(); i++) {
    const Row& row = rows_[batch.members[i]];
    batch.weight[i] = row.weight;
    label[i] = std::max(0, row.label);
    for (const Sequence& sequence : row.sequences) {
      const size_t start = slot * width;
      const auto tokens = static_cast<size_t>(sequence.tokens);
      std::copy_n(sequence.input_ids, tokens, ids.begin() + static_cast<std::ptrdiff_t>(start));
      std::fill_n(mask.begin() + static_cast<std::ptrdiff_t>(start), tokens, 1);
      if (has_loss_mask)
        std::copy_n(sequence.loss_mask, tokens, learnt.begin() + static_cast<std::ptrdiff_t>(start));
      for (size_t t = 0; t < targets.size(); t++) targets[t][slot] = sequence.targets[t];
      slot++;
    }
  }
  batch.inputs.clear();
  batch.inputs.emplace_back("input_ids", std::move(ids));
  batch.inputs.emplace_back("attention_mask", std::move(mask));
  if (has_loss_mask) batch.inputs.emplace_back("loss_mask", std::move(learnt));
  for (size_t t = 0; t < targets.size(); t++)
    batch.inputs.emplace_back(data_.targets[t], std::move(targets[t]));
  if (longest.label >= 0) batch.inputs.emplace_back("label", std::move(label));
  return true;
}

std::vector<Batch> batches_of(const std::vector<size_t>& members, const Rows& data,
                              const Bundle& bundle) {
  std::vector<Row> rows;
  for (size_t member : members) rows.push_back(training_row(data.example(member), bundle.scoring));
  std::vector<Batch> batches;
  Batches each(rows, data, bundle);
  for (Batch batch; each.next(batch);) batches.push_back(std::move(batch));
  return batches;
}

}  // namespace pocketllm
