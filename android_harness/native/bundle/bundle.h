// A bundle on disk, as bundle.json describes it; tflite_models/FORMAT.md is the format.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pocketllm {

constexpr int FORMAT_VERSION = 2;

// A tensor of a signature, or a variable: its shape, all dimensions positive.
struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;

  bool operator==(const Tensor& other) const {
    return dtype == other.dtype && shape == other.shape;
  }
  std::string described() const;  // "float32 [8,64]"
  size_t count() const;
  size_t bytes() const { return 4 * count(); }  // float32 and int32 alike
};

struct Signature {
  std::map<std::string, Tensor> inputs, outputs;
};

struct Bundle {
  std::string folder, checksum, model_name, task_name, style, scoring, base, noise;
  double default_eps = 0;
  int batch_size = 0, slices = 0, pad_id = 0;
  int vocabulary = 0;     // token ids are below it
  size_t words = 0;       // label words, of scoring "words" alone
  int option_tokens = 0;  // of the longest option that is scored
  std::vector<int> lengths;  // ascending
  std::vector<std::string> metrics;  // of the task, beside the accuracy
  std::map<std::string, Signature> signatures;
  std::map<std::string, Tensor> variables;
  std::vector<std::vector<int64_t>> frozen;  // shapes of what is not trained

  std::string model_path() const { return folder + "/model.tflite"; }
  bool has(const std::string& signature) const { return signatures.count(signature); }
  // Some of the signatures, by their names.
  std::map<std::string, Signature> signatures_of(const std::vector<std::string>& names) const;
  // Sequences that a label and a row of logits belong to.
  size_t sequences_per_row() const;
  // The inputs, beside its tokens, that a sequence has one number of, in the order of ENCODED.md.
  std::vector<std::string> targets() const;
  bool has_pairs() const { return has("forward_pair"); }  // both probes of a step in one pass
  bool has_pure() const { return has("forward_pure"); }   // forward passes for accelerators
};

// Reads and checks a bundle: its version, checksum, values, and the sizes and sums of its files. A
// phone may lack tokenizer.json and source.json. Throws InputError.
Bundle read_bundle(const std::string& folder);

std::string forward_loss(int tokens);                          // the signature of a length
std::string forward_pair(int tokens);                          // that of both probes
std::string forward_pure(int tokens);                          // that without variables
std::string forward_pure_pair(int tokens);                     // both
std::string numbered(const std::string& stem, int index);      // initialize_0, read_0, write_0

}  // namespace pocketllm
