#include "host/power.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "host/clock.h"
#include "host/files.h"
#include "host/text.h"

extern char** environ;

namespace pocketllm {
namespace {

constexpr const char* DUMPSYS = "/system/bin/dumpsys";
constexpr double DUMPSYS_SECONDS = 10;
// BatteryManager.BATTERY_STATUS_…
constexpr int64_t UNKNOWN = 1, CHARGING = 2, FULL = 5;

using Number = std::optional<int64_t>;

// A file that says no size, as those of /sys and /proc.
std::string text_of(const std::string& path) {
  std::string text;
  try {
    File file = File::open_to_read(path);
    char piece[1024];
    while (size_t count = file.read_some(piece, sizeof piece)) text.append(piece, count);
  } catch (const std::system_error&) {
    return "";
  }
  return stripped(text);
}

Number number_of(const std::string& text) {
  const std::string digits = text.substr(text[0] == '-' ? 1 : 0);
  if (!is_digits(digits) || digits.size() > 18) return {};
  return std::strtoll(text.c_str(), nullptr, 10);
}

std::vector<std::string> folders_in(const std::string& folder, const std::string& begin) {
  std::vector<std::string> paths;
  for (const std::string& name : names_in(folder))
    if (name[0] != '.' && begins_with(name, begin)) paths.push_back(folder + "/" + name);
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string dumped(const char* service) {
  int ends[2];
  if (!is_android() || pipe2(ends, O_CLOEXEC)) return "";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  char* arguments[] = {const_cast<char*>(DUMPSYS), const_cast<char*>(service), nullptr};
  pid_t child;
  const int failed = posix_spawn(&child, DUMPSYS, &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  const double end = now() + DUMPSYS_SECONDS;
  char piece[4096];
  for (ssize_t count = 1; !failed && count > 0;) {
    pollfd poll_for{ends[0], POLLIN, 0};
    const int left = static_cast<int>(1000 * (end - now()));
    if (left <= 0 || poll(&poll_for, 1, left) <= 0) break;
    count = read(ends[0], piece, sizeof piece);
    if (count > 0) text.append(piece, static_cast<size_t>(count));
  }
  close(ends[0]);
  int status = failed;
  if (!failed) {
    if (now() >= end) kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return status ? "" : text;
}

void set_battery(DeviceState& state, Number percent, Number tenths) {
  if (percent && *percent >= 0 && *percent <= 100) state.battery_percent = percent;
  if (tenths && *tenths >= -400 && *tenths <= 1200)
    state.battery_celsius = static_cast<double>(*tenths) / 10;
}

void read_battery_of_sys(DeviceState& state, const std::string& sys) {
  for (const std::string& folder : folders_in(sys + "/class/power_supply", "")) {
    // A battery of scope "Device" is a pen's or a headset's.
    if (text_of(folder + "/type") != "Battery" || text_of(folder + "/scope") == "Device") continue;
    const std::string status = text_of(folder + "/status");
    set_battery(state, number_of(text_of(folder + "/capacity")),
                number_of(text_of(folder + "/temp")));
    if (!status.empty() && status != "Unknown")
      state.charging = status == "Charging" || status == "Full";
    return;
  }
}

// The number behind a name at the beginning of a line, or behind spaces there.
Number entry_in(const std::string& text, const std::string& name) {
  for (size_t at = text.find(name + ": "); at != text.npos; at = text.find(name + ": ", at + 1)) {
    const size_t line = text.rfind('\n', at) == text.npos ? 0 : text.rfind('\n', at) + 1;
    if (text.find_first_not_of(' ', line) != at) continue;
    const size_t begin = at + name.size() + 2;
    return number_of(text.substr(begin, text.find('\n', begin) - begin));
  }
  return {};
}

void read_battery_of_dumpsys(DeviceState& state) {
  const std::string text = dumped("battery");
  const Number level = entry_in(text, "level"), scale = entry_in(text, "scale");
  const Number status = entry_in(text, "status");
  DeviceState told;
  Number percent;
  if (level && !(scale && *scale == 0)) percent = *level * 100 / scale.value_or(100);
  set_battery(told, percent, entry_in(text, "temperature"));
  if (status && *status != UNKNOWN) told.charging = *status == CHARGING || *status == FULL;
  if (!state.battery_percent) state.battery_percent = told.battery_percent;
  if (!state.battery_celsius) state.battery_celsius = told.battery_celsius;
  if (!state.charging) state.charging = told.charging;
}

}  // namespace

Json DeviceState::known() const {
  Json values = Json::object();
  if (battery_percent) values["battery_percent"] = *battery_percent;
  if (battery_celsius) values["battery_celsius"] = *battery_celsius;
  if (charging) values["charging"] = *charging;
  if (thermal_status) values["thermal_status"] = *thermal_status;
  if (cpu_mhz) values["cpu_mhz"] = *cpu_mhz;
  if (pss_bytes) values["pss_bytes"] = *pss_bytes;
  return values;
}

bool is_android() { return exists(DUMPSYS); }

DeviceState read_device_state() {
  const char* copy = std::getenv("POCKETLLM_SYS");
  const std::string sys = copy ? copy : "/sys";
  DeviceState state;
  read_battery_of_sys(state, sys);
  if (!state.battery_percent || !state.battery_celsius || !state.charging)
    read_battery_of_dumpsys(state);
  state.thermal_status = entry_in(dumped("thermalservice"), "Thermal Status");
  for (const std::string& cpu : folders_in(sys + "/devices/system/cpu", "cpu")) {
    const Number rate = number_of(text_of(cpu + "/cpufreq/scaling_cur_freq"));
    if (rate) state.cpu_mhz = std::max(state.cpu_mhz.value_or(0), *rate / 1000);
  }
  unsigned long long kilobytes;
  const std::string smaps = text_of("/proc/self/smaps_rollup");
  const size_t pss = smaps.find("\nPss:");
  if (pss != smaps.npos && std::sscanf(smaps.c_str() + pss + 1, "Pss: %llu kB", &kilobytes) == 1)
    state.pss_bytes = static_cast<int64_t>(kilobytes * 1024);
  return state;
}

}  // namespace pocketllm
