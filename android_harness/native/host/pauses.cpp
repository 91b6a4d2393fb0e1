#include "host/pauses.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "errors.h"
#include "host/clock.h"
#include "host/signals.h"
#include "host/text.h"

namespace pocketllm {
namespace {

// Hysteresis: a paused run resumes this much below --max_temp and above --min_battery.
constexpr double COOLER_CELSIUS = 1;
constexpr int FULLER_PERCENT = 2;

// How often the device is asked, in seconds; tests shorten it.
double sample_seconds() {
  const char* given = std::getenv("POCKETLLM_SAMPLE_SECONDS");
  return given ? std::atof(given) : 10.0;
}

void sleep_for(double seconds) {
  const double end = now() + seconds;
  while (now() < end) {
    signals::check();
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(0.1, seconds)));
  }
}

}  // namespace

Pauses::Pauses(const Limits& limits) : limits_(limits), is_idle_(!limits.any() && !is_android()) {
  if (limits.max_temp && !std::isfinite(*limits.max_temp))
    throw InputError("--max_temp: expected degrees Celsius, such as 40");
  if (is_idle_ || is_android()) return;  // a phone tells it, as a rule: the first step waits if not
  const auto first = reason(read_device_state(), false);
  if (first && first->is_unknown) throw InputError(first->text + "; leave the flag out");
}

std::optional<Pauses::Reason> Pauses::reason(const DeviceState& state, bool is_resuming) const {
  auto unknown = [](const std::string& flag, const std::string& what) {
    return Reason{flag, "--" + flag + ": this device does not tell " + what, true};
  };
  if (limits_.max_temp) {
    if (!state.battery_celsius) return unknown("max_temp", "its battery's temperature");
    if (*state.battery_celsius > *limits_.max_temp - (is_resuming ? COOLER_CELSIUS : 0))
      return Reason{"max_temp",
                    formatted("battery at %.1f °C, --max_temp=%g", *state.battery_celsius,
                              *limits_.max_temp),
                    false};
  }
  if (limits_.min_battery) {
    if (!state.battery_percent) return unknown("min_battery", "its battery's charge");
    const int limit = limits_.min_battery + (is_resuming ? FULLER_PERCENT : 0);
    if (*state.battery_percent < std::min(limit, 100))
      return Reason{"min_battery",
                    formatted("battery at %lld%%, --min_battery=%d",
                              static_cast<long long>(*state.battery_percent), limits_.min_battery),
                    false};
  }
  if (limits_.only_charging) {
    if (!state.charging) return unknown("only_charging", "whether it charges");
    if (!*state.charging)
      return Reason{"only_charging", "the battery is not charging, --only_charging", false};
  }
  return {};
}

Json Pauses::wait(const std::function<void(const std::string&)>& say) {
  if (is_idle_ || now() < next_) return Json::object();
  DeviceState state = read_device_state();
  const double since = now();
  auto why = reason(state, false);
  std::optional<Reason> last;
  bool is_exceeded = false;
  while (why) {
    is_exceeded = is_exceeded || !why->is_unknown;
    if (!last || last->flag != why->flag || last->is_unknown != why->is_unknown)
      say("paused: " + why->text + (why->is_unknown ? "; waiting until it does" : ""));
    last = why;
    sleep_for(sample_seconds());
    state = read_device_state();
    why = reason(state, is_exceeded);
  }
  if (last) say("going on after " + formatted("%.0f s", now() - since));
  next_ = now() + sample_seconds();
  return state.known();
}

}  // namespace pocketllm
