// Several directions of one minibatch a step, and one length of steps whatever the loss's scale.
#include <cmath>

#include "data/order.h"
#include "errors.h"
#include "host/text.h"
#include "optim/exact_sum.h"
#include "optim/normaliser.h"
#include "optim/optimizer.h"

namespace pocketllm {
namespace {

class Fzoo : public Optimizer {
 public:
  explicit Fzoo(const Settings& settings) : settings_(settings) {}

  void remember(const Applied& step) override {
    const auto count = static_cast<size_t>(settings_.directions * settings_.sides);
    const auto slopes = projected_gradients(recorded_losses(step, count));
    normaliser_.take(mean_square(slopes), settings_.directions);
  }

  Step step(Recorder& model, const Minibatch& minibatch) override {
    Step step;
    step.number = minibatch.number;
    step.lr = learning_rate(settings_, minibatch.number);
    const auto seeds = direction_seeds(minibatch.seed, settings_.directions);
    const bool in_pairs = minibatch.pair && settings_.sides == 2;
    step.losses = in_pairs ? measured(minibatch, seeds) : measured(model, minibatch, seeds);
    const auto slopes = projected_gradients(step.losses);
    const double square = mean_square(slopes);
    const double divisor = normaliser_.take(square, settings_.directions);
    const double rate = normalised(step.lr, divisor) / degrees();
    std::vector<double> moves;
    for (double slope : slopes) moves.push_back(-rate * slope);
    const double back = in_pairs ? 0 : -last_place();
    update(model, seeds, moves, back, decay_share(settings_, minibatch.number));
    step.loss = exact_sum(step.losses) / static_cast<double>(step.losses.size());
    step.line = {{"step", step.number},   {"seed", minibatch.seed},
                 {"losses", step.losses}, {"projected_grad", std::sqrt(square)},
                 {"divisor", divisor},    {"lr", step.lr}};
    step.description = formatted("loss %.4f projected_grad %.2f", step.loss, std::sqrt(square));
    return step;
  }

 private:
  // By how many directions a step's sum is divided: centring takes one.
  double degrees() const { return settings_.directions - (settings_.sides == 1 ? 1 : 0); }

  // Where on a direction the last loss is taken.
  double last_place() const { return settings_.sides == 1 ? settings_.eps : -settings_.eps; }

  // The slope along each direction, on one side without their mean.
  std::vector<double> projected_gradients(const std::vector<double>& losses) const {
    std::vector<double> slopes;
    const double eps = settings_.eps;
    if (settings_.sides == 2) {
      for (size_t i = 0; i < losses.size(); i += 2)
        slopes.push_back((losses[i] - losses[i + 1]) / (2 * eps));
      return slopes;
    }
    const double mean = exact_sum(losses) / static_cast<double>(losses.size());
    for (double loss : losses) slopes.push_back((loss - mean) / eps);
    return slopes;
  }

  double mean_square(const std::vector<double>& slopes) const {
    std::vector<double> squares;
    for (double slope : slopes) squares.push_back(slope * slope);
    return exact_sum(squares) / degrees();
  }

  // The losses of a step; θ stands at the last direction's last place then.
  std::vector<double> measured(Recorder& model, const Minibatch& minibatch,
                               const std::vector<int32_t>& seeds) const {
    const double eps = settings_.eps;
    std::vector<double> losses;
    for (size_t i = 0; i < seeds.size(); i++) {
      if (i)
        model.perturb_two(seeds[i - 1], -last_place(), seeds[i], eps);
      else
        model.perturb(seeds[i], eps);
      for (int side = 0; side < settings_.sides; side++) {
        if (side) model.perturb(seeds[i], -2 * eps);
        losses.push_back(minibatch.loss());
        if (std::isfinite(losses.back())) continue;
        model.perturb(seeds[i], side ? eps : -eps);
        throw not_finite(minibatch.number, losses.back(), i, seeds.size());
      }
    }
    return losses;
  }

  // The losses of a step on both sides of each direction; θ stays.
  std::vector<double> measured(const Minibatch& minibatch,
                               const std::vector<int32_t>& seeds) const {
    std::vector<double> losses;
    for (size_t i = 0; i < seeds.size(); i++) {
      const auto [plus, minus] = minibatch.pair(seeds[i], settings_.eps);
      for (double loss : {plus, minus}) {
        if (!std::isfinite(loss)) throw not_finite(minibatch.number, loss, i, seeds.size());
        losses.push_back(loss);
      }
    }
    return losses;
  }

  static LossError not_finite(int64_t step, double loss, size_t direction, size_t directions) {
    return LossError("step " + std::to_string(step) + ": the loss is not finite (" +
                     formatted("%g", loss) + " at direction " + std::to_string(direction + 1) +
                     " of " + std::to_string(directions) + ")");
  }

  // Moves θ along all directions, in pairs, from θ − back · z of the last one.
  void update(Recorder& model, const std::vector<int32_t>& seeds, std::vector<double> moves,
              double back, double decay) const {
    const size_t last = seeds.size() - 1;
    moves[last] = back + moves[last];
    const size_t count = decay != 0 ? last : seeds.size();  // a pass that decays goes alone
    for (size_t i = 0; i + 1 < count; i += 2)
      model.perturb_two(seeds[i], moves[i], seeds[i + 1], moves[i + 1]);
    if (count % 2) model.perturb(seeds[count - 1], moves[count - 1]);
    if (decay != 0) model.perturb(seeds[last], moves[last], decay, back);
  }

  Settings settings_;
  Normaliser normaliser_;
};

}  // namespace

std::unique_ptr<Optimizer> make_fzoo(const Settings& settings) {
  return std::make_unique<Fzoo>(settings);
}

}  // namespace pocketllm
