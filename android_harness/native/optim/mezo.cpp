// MeZO (arXiv 2305.17333, algorithm 1) in three noise passes a step, or one.
#include <cmath>

#include "errors.h"
#include "host/text.h"
#include "optim/normaliser.h"
#include "optim/optimizer.h"

namespace pocketllm {
namespace {

class Mezo : public Optimizer {
 public:
  explicit Mezo(const Settings& settings) : settings_(settings) {}

  void remember(const Applied& step) override {
    if (!settings_.normalize) return;
    const auto& losses = recorded_losses(step, 2);
    const double slope = (losses[0] - losses[1]) / (2 * settings_.eps);
    normaliser_.take(slope * slope, 1);
  }

  Step step(Recorder& model, const Minibatch& minibatch) override {
    const double eps = settings_.eps, lr = learning_rate(settings_, minibatch.number);
    const int32_t seed = minibatch.seed;
    const auto [plus, minus] = minibatch.pair ? minibatch.pair(seed, eps) : probed(model, minibatch);
    const double back = minibatch.pair ? 0 : eps;  // to θ, along z
    const double slope = (plus - minus) / (2 * eps);
    if (!std::isfinite(slope)) {
      if (back != 0) model.perturb(seed, back);
      throw LossError("step " + std::to_string(minibatch.number) +
                      ": the loss is not finite (" +
                      formatted("loss_plus %g, loss_minus %g)", plus, minus));
    }
    Step step;
    step.number = minibatch.number;
    step.lr = lr;
    step.losses = {plus, minus};
    step.loss = (plus + minus) / 2;
    step.line = {{"step", step.number}, {"seed", seed},
                 {"loss_plus", plus},   {"loss_minus", minus},
                 {"projected_grad", slope}, {"lr", lr}};
    double rate = lr;
    if (settings_.normalize) {
      const double divisor = normaliser_.take(slope * slope, 1);
      rate = normalised(lr, divisor);
      step.line["divisor"] = divisor;
    }
    // From θ - back·z: back to θ, down the slope, and a share of θ off, in one pass (decision 31).
    model.perturb(seed, back - rate * slope, decay_share(settings_, minibatch.number), back);
    step.description = formatted("loss %.4f projected_grad %+.2f", step.loss, slope);
    return step;
  }

 private:
  // The losses at θ + eps·z and at θ - eps·z, where θ then stands.
  Losses probed(Recorder& model, const Minibatch& minibatch) const {
    model.perturb(minibatch.seed, settings_.eps);
    const double plus = minibatch.loss();
    model.perturb(minibatch.seed, -2 * settings_.eps);
    return {plus, minibatch.loss()};
  }

  Settings settings_;
  Normaliser normaliser_;
};

}  // namespace

std::unique_ptr<Optimizer> make_mezo(const Settings& settings) {
  return std::make_unique<Mezo>(settings);
}

}  // namespace pocketllm
