// Encoded rows in a file that is mapped, not read; tflite_models/ENCODED.md is the format.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bundle/bundle.h"

namespace pocketllm {

// A sequence as the model reads it, without padding: views into the file.
struct Sequence {
  int tokens = 0;
  const int32_t* targets = nullptr;    // one a name of Rows::targets
  const int32_t* input_ids = nullptr;  // [tokens]
  const int32_t* loss_mask = nullptr;  // [tokens], of scoring "tokens" alone
};

struct Example {
  std::vector<Sequence> sequences;
  std::vector<uint32_t> golds;  // the first is trained on; none of scoring "tokens"
  uint32_t group = 0;           // shared by the answers to one question
  uint32_t options = 0;         // that have scores
  const char* scores = nullptr;  // float64 [names of answer_scores, options]
};

constexpr uint32_t NO_GROUP = 0xFFFFFFFF;

class Rows {
 public:
  // Maps a file and checks it against the bundle. Throws InputError.
  Rows(const std::string& path, const Bundle& bundle);
  ~Rows();
  Rows(const Rows&) = delete;

  size_t size() const { return places_.size(); }
  Example example(size_t index) const;
  double score(const Example& example, size_t name, size_t option) const;
  std::string describe() const;  // one line for people
  uint64_t learnt_tokens() const;

  std::string path, data, data_sha256, split;  // split is empty where there was none
  bool is_training = false;
  std::vector<std::string> targets, metrics, answer_scores;

 private:
  Example parse(uint64_t& place) const;
  const char* at(uint64_t place, uint64_t bytes) const;
  uint32_t word(uint64_t place) const;
  Sequence sequence(uint64_t& place) const;
  void read_header(const Bundle& bundle);
  void check_sum() const;
  [[noreturn]] void damaged(const std::string& what) const;

  const char* bytes_ = nullptr;
  uint64_t size_ = 0, end_ = 0;  // of the file, of the examples
  uint64_t begin_ = 0, count_ = 0, truncated_ = 0;
  bool has_loss_mask_ = false;
  std::vector<uint64_t> places_;
};

}  // namespace pocketllm
