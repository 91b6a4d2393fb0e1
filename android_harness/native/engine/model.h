// A bundle open in an engine, its signatures as methods: θ (the trainable state) is in the engine.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "data/batches.h"
#include "engine/engine.h"

namespace pocketllm {

struct Forward {
  float loss = 0, weight_sum = 0;
  std::vector<float> logits;  // [B, C]
};

// Those at both probes of a direction.
struct Losses {
  double plus, minus;
};

using Values = std::vector<float>;

// Returns the float32 nearest to a number, infinite beyond the largest.
float float32(double value);

class Model {
 public:
  // `accelerated`, where it is given, runs the pure forms of the forward passes, of θ as it is read
  // out of `engine`.
  Model(const Bundle& bundle, Engine& engine, Engine* accelerated = nullptr)
      : bundle_(bundle), engine_(engine), accelerated_(accelerated) {}
  const Bundle& bundle() const { return bundle_; }

  // Sets θ to the bundle's initial values, slice by slice; before anything else.
  void initialize();
  Forward forward(const Batch& batch, bool wants_logits);
  // The mean loss of micro-batches, joined by their weight sums in float64; NaN without weight.
  double loss(const std::vector<Batch>& batches);
  // The mean losses at θ + eps · z and θ − eps · z, z = z(seed), where the bundle has pairs; θ stays.
  Losses pair(const std::vector<Batch>& batches, int32_t seed, float eps);
  // θ ← θ + (scale · z − decay · (θ + probe · z)), z = z(seed); biases and norms do not decay.
  void perturb(int32_t seed, float scale, float decay = 0, float probe = 0);
  // The bits of two passes, in one where the bundle has it.
  void perturb_two(int32_t seed, float scale, int32_t seed_2, float scale_2);

  using Take = std::function<void(const std::string& name, const Values& values)>;
  using Give = std::function<void(const std::string& name, Values& values)>;
  // Hands every variable to `take`, slice by slice, in the order of names within one.
  void read(const Take& take);
  // Sets every variable to what `give` fills in, slice by slice.
  void write(const Give& give);

 private:
  using Theta = std::map<std::string, Values>;  // by variable
  const Theta& theta();
  // Every variable at θ + eps · z, and behind it at θ − eps · z; θ keeps its bits.
  Theta at_both_probes(int32_t seed, float eps);

  const Bundle& bundle_;
  Engine& engine_;
  Engine* accelerated_;
  Theta theta_;  // as `accelerated_` takes it; empty where it is to be read
};

}  // namespace pocketllm
