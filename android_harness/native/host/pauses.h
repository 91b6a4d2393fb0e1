// Pauses of training: until the battery is cooler, fuller or charging, and says so. They fail closed:
// while a phone does not tell what a limit is about, training waits.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "host/power.h"

namespace pocketllm {

// Conditions of training on a battery.
struct Limits {
  std::optional<double> max_temp;  // of the battery, in degrees Celsius
  int min_battery = 0;             // in percent; 0: no limit
  bool only_charging = false;

  bool any() const { return max_temp || min_battery || only_charging; }
};

class Pauses {
 public:
  // Throws InputError: the device is no phone, and does not report what a limit is about.
  explicit Pauses(const Limits& limits);
  // Called before a step or evaluation: waits while a limit is exceeded; returns measured fields
  // for the step's line, none between two samples. Throws Interrupted.
  Json wait(const std::function<void(const std::string&)>& say);

 private:
  struct Reason {
    std::string flag, text;
    bool is_unknown;
  };
  std::optional<Reason> reason(const DeviceState& state, bool is_resuming) const;

  Limits limits_;
  bool is_idle_;
  double next_ = 0;
};

}  // namespace pocketllm
