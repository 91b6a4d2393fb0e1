// State of a phone: battery, heat, clock rates, and this process's share of its memory.
#pragma once
#include <optional>

#include "host/json.h"

namespace pocketllm {

// What the device reports. A figure that no battery can have is as good as none.
struct DeviceState {
  std::optional<int64_t> battery_percent;
  std::optional<double> battery_celsius;
  std::optional<bool> charging;
  std::optional<int64_t> thermal_status, cpu_mhz, pss_bytes;

  Json known() const;  // for a line of metrics
};

bool is_android();
// Reads /sys (or a copy of it, for tests: POCKETLLM_SYS), else Android's dumpsys.
DeviceState read_device_state();

}  // namespace pocketllm
