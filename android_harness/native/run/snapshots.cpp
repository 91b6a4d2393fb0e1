#include "run/snapshots.h"

#include <unistd.h>

#include <algorithm>

#include "errors.h"
#include "host/files.h"
#include "host/text.h"
#include "run/arrays.h"

namespace pocketllm {
namespace {

constexpr size_t KEPT = 2;
const std::string STEM = "parameters-", SUFFIX = ".npz";

std::string path_of(const std::string& folder, int64_t step) {
  return folder + "/" + STEM + std::to_string(step) + SUFFIX;
}

}  // namespace

bool snapshot_due(double tail_seconds, double run_seconds, double recovery_seconds) {
  return tail_seconds > std::max(recovery_seconds, RECOVERY_SHARE * run_seconds);
}

std::vector<int64_t> snapshot_steps(const std::string& folder) {
  std::vector<int64_t> steps;
  for (const std::string& name : names_in(folder)) {
    if (name.size() <= STEM.size() + SUFFIX.size() || !begins_with(name, STEM) ||
        name.compare(name.size() - SUFFIX.size(), SUFFIX.size(), SUFFIX))
      continue;
    const std::string digits =
        name.substr(STEM.size(), name.size() - STEM.size() - SUFFIX.size());
    if (is_digits(digits) && digits.size() < 18) steps.push_back(std::stoll(digits));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void save_snapshot(Model& model, const std::string& folder, int64_t step, uint32_t checksum) {
  auto before = snapshot_steps(folder);
  for (;;) {
    try {
      save_parameters(model, path_of(folder, step), checksum);
      break;
    } catch (const NoSpaceError&) {
      if (before.empty()) throw;
      unlink(path_of(folder, before.front()).c_str());
      before.erase(before.begin());
    }
  }
  const auto steps = snapshot_steps(folder);
  for (size_t i = 0; i + KEPT < steps.size(); i++) unlink(path_of(folder, steps[i]).c_str());
}

int64_t restore(Model& model, const std::string& folder, int64_t last, const Journal& journal,
                const std::function<void(const std::string&)>& say) {
  auto steps = snapshot_steps(folder);
  bool is_partly_loaded = false;
  for (auto step = steps.rbegin(); step != steps.rend(); step++) {
    if (*step < 1 || *step > last) continue;
    const std::string path = path_of(folder, *step);
    if (checksum_in(path) != journal.checksum(static_cast<size_t>(*step))) {
      say(folder + ": the snapshot of step " + std::to_string(*step) +
          " is damaged or of another run, passed over");
      continue;
    }
    try {
      load_parameters(model, path);
      return *step;
    } catch (const Unreadable& error) {
      say(path + ": damaged (" + error.what() + "), passed over");
      is_partly_loaded = true;
    }
  }
  if (is_partly_loaded) model.initialize();  // some slices of it may have come in
  return 0;
}

}  // namespace pocketllm
