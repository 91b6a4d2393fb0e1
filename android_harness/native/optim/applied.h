// What a step did to the parameters: enough to do it again without data.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/model.h"

namespace pocketllm {

// θ ← θ + scale · z(seed).
struct Pass {
  int32_t seed;
  float scale;
};

// One step: its number, what it measured, its passes in their order, and the share that the last
// of them takes off the parameters that decay.
struct Applied {
  uint32_t step = 0;
  std::vector<double> losses;
  double lr = 0, eps = 0;
  std::vector<Pass> passes;
  float decay = 0;
};

// Does a step again: the same passes, so the same bits.
void apply_step(Model& model, const Applied& applied);

// Passes everything on to a model, and notes it and the time it takes. The model gets the float32
// values that are noted.
class Recorder {
 public:
  explicit Recorder(Model& model) : model_(model) {}
  void perturb(int32_t seed, double scale, double decay = 0, double probe = 0);
  void perturb_two(int32_t seed, double scale, int32_t seed_2, double scale_2);
  // Returns the passes and the last one's decay, and begins the next step.
  Applied end_step();
  void replay(const Applied& applied);

  double seconds = 0;  // of all passes, until it is set back

 private:
  Model& model_;
  std::vector<Pass> passes_;
  float decay_ = 0;
};

}  // namespace pocketllm
