#include "settings_flags.h"

#include "errors.h"

namespace pocketllm {
namespace {

constexpr int MOST_DIRECTIONS = 256;
constexpr double LEAST_EPS = 1e-30, MOST_EPS = 1e30;  // with room for float32

// Returns a setting that is given, that of a run that has begun, or `otherwise`.
double setting(const Flags& flags, const std::optional<Json>& stored, const std::string& name,
               double otherwise, double least, double most) {
  if (flags.has(name) && flags.text(name) != "auto")
    return flags.number(name, otherwise, least, most);
  if (!stored || (name == "eps" && !flags.has(name))) return otherwise;
  const Json value = stored->value(name, Json());
  return value.is_number() ? value.get<double>() : 0.0;  // 0 is no run's: it is refused
}

}  // namespace

Settings settings_of(const Flags& flags, const Bundle& bundle, const std::optional<Json>& stored) {
  Settings settings;
  settings.steps = flags.integer("steps", 0, 1, UINT32_MAX);
  settings.optimizer = flags.text("optimizer", "mezo");
  if (settings.optimizer != "mezo" && settings.optimizer != "fzoo")
    throw InputError("--optimizer=" + settings.optimizer +
                     ": expected mezo or fzoo; the others are `pocketllm train`'s");
  const bool is_fzoo = settings.optimizer == "fzoo";
  for (const char* name : {"directions", "sides", "normalize"})
    if (flags.has(name) && is_fzoo == (std::string(name) == "normalize"))
      throw InputError(std::string("--") + name + " is a setting of " + (is_fzoo ? "mezo" : "fzoo") +
                       "; leave it out with --optimizer=" + settings.optimizer);
  if (!stored && (!flags.has("lr") || flags.text("lr") == "auto"))
    throw InputError("--lr is missing: this program measures none; give a number, or begin the run "
                     "with `pocketllm train`, which measures one");
  if (!stored && flags.text("eps") == "auto")
    throw InputError("--eps=auto: this program measures none; leave it out for the bundle's, or "
                     "begin the run with `pocketllm train`, which measures one");
  settings.lr = setting(flags, stored, "lr", 0, 0, 1e300);
  settings.eps = setting(flags, stored, "eps", bundle.default_eps, LEAST_EPS, MOST_EPS);
  settings.weight_decay = flags.number("weight_decay", 0, 0, 1e300);
  settings.lr_schedule = flags.text("lr_schedule", "constant");
  if (settings.lr_schedule != "constant" && settings.lr_schedule != "linear" &&
      settings.lr_schedule != "cosine")
    throw InputError("--lr_schedule=" + settings.lr_schedule +
                     ": expected constant, linear or cosine");
  settings.normalize = flags.is_set("normalize");
  settings.directions = static_cast<int>(flags.integer("directions", 8, 1, MOST_DIRECTIONS));
  settings.sides = static_cast<int>(flags.integer("sides", bundle.base == "fp32" ? 1 : 2, 1, 2));
  if (is_fzoo && settings.directions == 1 && settings.sides == 1)
    throw InputError("--directions=1 with --sides=1: one loss is its own mean and shows no slope; "
                     "give --directions=2 or more, or --sides=2");
  return settings;
}

bool takes_gpu(const Flags& flags, const Bundle& bundle) {
  const std::string accelerator = flags.text("accelerator", "cpu");
  if (accelerator != "cpu" && accelerator != "gpu")
    throw InputError("--accelerator=" + accelerator + ": expected cpu or gpu");
  if (accelerator == "gpu" && !bundle.has_pure())
    throw InputError(bundle.folder + ": no signature forward_pure, which --accelerator=gpu needs; "
                     "export with --pure, or leave --accelerator out");
  return accelerator == "gpu";
}

bool takes_pairs(const Flags& flags, const Bundle& bundle, const Settings& settings) {
  const bool wanted = flags.is_set("pairs");
  const bool two_sides = settings.optimizer != "fzoo" || settings.sides == 2;
  if (wanted && !two_sides)
    throw InputError("--pairs goes with --optimizer=mezo, and with fzoo and --sides=2");
  if (wanted && !bundle.has_pairs())
    throw InputError(bundle.folder + ": no signature forward_pair, which --pairs needs; leave "
                     "--pairs out, or export with it, and with --tune=lora, prefix or head");
  return two_sides && bundle.has_pairs() && flags.is_set("pairs", true);
}

}  // namespace pocketllm
