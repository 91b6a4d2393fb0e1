#include "optim/optimizer.h"

#include <cstdio>

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

std::unique_ptr<Optimizer> make_optimizer(const Settings& settings) {
  return settings.optimizer == "fzoo" ? make_fzoo(settings) : make_mezo(settings);
}

std::string formatted(const char* format, double value) {
  char text[400];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace pocketllm
