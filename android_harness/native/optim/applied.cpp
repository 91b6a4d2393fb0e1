#include "optim/applied.h"

#include <utility>

#include "host/clock.h"

namespace pocketllm {
namespace {

// How far, in units of z(seed), θ before the passes lies from θ after them.
double probe_of(const std::vector<Pass>& passes, size_t count, int32_t seed) {
  double sum = 0;
  for (size_t i = 0; i < count; i++)
    if (passes[i].seed == seed) sum += double{passes[i].scale};
  return -sum;
}

// Adds the time of its life to a number of seconds.
class Timed {
 public:
  explicit Timed(double& seconds) : seconds_(seconds), started_(now()) {}
  ~Timed() { seconds_ += now() - started_; }

 private:
  double& seconds_;
  double started_;
};

}  // namespace

void apply_step(Model& model, const Applied& applied) {
  for (size_t i = 0; i < applied.passes.size(); i++) {
    const Pass& pass = applied.passes[i];
    const bool decays = applied.decay != 0 && i + 1 == applied.passes.size();
    if (decays)
      model.perturb(pass.seed, pass.scale, applied.decay,
                    float32(probe_of(applied.passes, i, pass.seed)));
    else
      model.perturb(pass.seed, pass.scale);
  }
}

void Recorder::perturb(int32_t seed, double scale, double decay, double probe) {
  Timed timed(seconds);
  passes_.push_back({seed, float32(scale)});
  decay_ = float32(decay);
  model_.perturb(seed, passes_.back().scale, decay_, float32(probe));
}

void Recorder::perturb_two(int32_t seed, double scale, int32_t seed_2, double scale_2) {
  Timed timed(seconds);
  const Pass first{seed, float32(scale)}, second{seed_2, float32(scale_2)};
  passes_.push_back(first);
  passes_.push_back(second);
  model_.perturb_two(seed, first.scale, seed_2, second.scale);
}

Applied Recorder::end_step() {
  Applied applied;
  applied.passes = std::exchange(passes_, {});
  applied.decay = std::exchange(decay_, 0.0f);
  return applied;
}

void Recorder::replay(const Applied& applied) {
  Timed timed(seconds);
  apply_step(model_, applied);
}

}  // namespace pocketllm
