// Batches of fixed shape: how rows fill the length buckets (FORMAT.md, "Order of the data").
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "data/rows.h"

namespace pocketllm {

// One row of a forward signature: its sequences, its weight, and its label where it has one.
struct Row {
  std::vector<Sequence> sequences;
  int label = -1;
  float weight = 1;

  int tokens() const;  // of the longest sequence
};

// One call of a forward signature.
struct Batch {
  int tokens = 0;  // the bucket
  std::vector<std::pair<std::string, std::vector<int32_t>>> inputs;
  std::vector<float> weight;     // [B], 0 of a filler row
  std::vector<size_t> members;   // positions of its rows among those that were given
};

// The row that an example is trained on; of "gold" the first right option's.
Row training_row(const Example& example, const std::string& scoring);
// The rows that give an example's scores and loss; of "gold", a row an option.
std::vector<Row> evaluation_rows(const Example& example, const std::string& scoring);

// Yields batches one after the other, longest rows first.
class Batches {
 public:
  Batches(const std::vector<Row>& rows, const Rows& data, const Bundle& bundle);
  bool next(Batch& batch);

 private:
  const std::vector<Row>& rows_;
  const Rows& data_;
  const Bundle& bundle_;
  std::vector<size_t> order_;
  size_t first_ = 0;
};

// The batches that these examples are trained on in.
std::vector<Batch> batches_of(const std::vector<size_t>& members, const Rows& data,
                              const Bundle& bundle);

}  // namespace pocketllm
