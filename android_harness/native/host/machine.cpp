#include "host/machine.h"

#include <sched.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "host/text.h"

namespace pocketllm {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs cpuinfo() {
  Pairs pairs;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos)
      pairs.emplace_back(stripped(line.substr(0, colon)), stripped(line.substr(colon + 1)));
  }
  return pairs;
}

std::string architecture() {
  utsname names;
  return uname(&names) ? "" : names.machine;
}

}  // namespace

int cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? static_cast<int>(count) : 1;
}

std::string processor() {
  std::string model, hardware;
  std::set<std::string> parts;
  for (const auto& [name, value] : cpuinfo()) {
    if (name == "model name") model = value;
    if (name == "Hardware") hardware = value;
    if (name == "CPU part") parts.insert(value);
  }
  std::string cpu = !model.empty() ? model : !hardware.empty() ? hardware : architecture();
  return parts.empty() ? cpu : cpu + " (CPU parts " + joined(parts, ", ") + ")";
}

std::string instructions() {
  std::set<std::string> flags;
  for (const auto& [name, value] : cpuinfo()) {
    if (name != "flags" && name != "Features") continue;
    std::istringstream words(value);
    for (std::string word; words >> word;) flags.insert(word);
  }
  const std::string capabilities =
      formatted(" %lx %lx", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
  return architecture() + capabilities + (flags.empty() ? "" : " ") + joined(flags, " ");
}

uint64_t memory_bytes() {
  const long page = sysconf(_SC_PAGE_SIZE), pages = sysconf(_SC_PHYS_PAGES);
  return page > 0 && pages > 0 ? static_cast<uint64_t>(page) * static_cast<uint64_t>(pages) : 0;
}

std::string system_name() {
  utsname names;
  if (uname(&names)) return "Linux";
  return std::string(names.sysname) + " " + names.release + " " + names.machine;
}

}  // namespace pocketllm
