// An optimizer of journalled runs: settings, and the arithmetic of a step.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/json.h"
#include "optim/applied.h"
#include "optim/schedule.h"

namespace pocketllm {

struct Settings : Schedule {
  std::string optimizer = "mezo";  // or "fzoo"
  double eps = 0;                  // size of the probe, in units of z
  bool normalize = false;          // of mezo
  int directions = 8, sides = 1;   // of fzoo

  // What config.json holds of them, in its order, without `steps` in a journal's header.
  Json described() const;
};

// What a step works on: `loss` evaluates its minibatch at the present θ.
struct Minibatch {
  int64_t number;
  int32_t seed;
  std::function<double()> loss;
  // (seed, eps) -> its losses at θ ± eps · z(seed), without moving θ; none where that takes moves.
  std::function<Losses(int32_t, double)> pair = nullptr;
};

// What a step measured, as its line shows it.
struct Step {
  int64_t number = 0;
  double lr = 0, loss = 0;  // loss: the mean of those around θ
  std::vector<double> losses;
  Json line;                // of metrics.jsonl, without the costs
  std::string description;  // of the figures, for people
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Takes in a step that was taken before, in order.
  virtual void remember(const Applied& step) = 0;
  // Moves the weights one step. Throws LossError; θ is then back where it was, within rounding.
  virtual Step step(Recorder& model, const Minibatch& minibatch) = 0;
};

// Ends a step: returns what a journal's record holds of it.
Applied recorded(const Step& step, const Settings& settings, Recorder& recorder);

std::unique_ptr<Optimizer> make_mezo(const Settings& settings);
std::unique_ptr<Optimizer> make_fzoo(const Settings& settings);
std::unique_ptr<Optimizer> make_optimizer(const Settings& settings);

}  // namespace pocketllm
