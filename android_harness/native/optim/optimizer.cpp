#include "optim/optimizer.h"

namespace pocketllm {

Json Settings::described() const {
  Json values = {{"optimizer", optimizer},     {"lr", lr},
                 {"eps", eps},                 {"weight_decay", weight_decay},
                 {"lr_schedule", lr_schedule}, {"steps", steps}};
  if (optimizer == "fzoo") {
    values["directions"] = directions;
    values["sides"] = sides;
  } else if (normalize) {  // a setting that was added later: its default is not written
    values["normalize"] = true;
  }
  return values;
}

Applied recorded(const Step& step, const Settings& settings, Recorder& recorder) {
  Applied applied = recorder.end_step();
  applied.step = static_cast<uint32_t>(step.number);
  applied.losses = step.losses;
  applied.lr = step.lr;
  applied.eps = settings.eps;
  return applied;
}

std::unique_ptr<Optimizer> make_optimizer(const Settings& settings) {
  return settings.optimizer == "fzoo" ? make_fzoo(settings) : make_mezo(settings);
}

}  // namespace pocketllm
