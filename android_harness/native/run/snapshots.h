// Snapshots of the parameters: going on need not begin at the first step. They hold nothing that the
// journal does not; one that is damaged, or of another run, is passed over for the one before.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/model.h"
#include "journal/reader.h"

namespace pocketllm {

constexpr double RECOVERY_SECONDS = 120, RECOVERY_SHARE = 0.05;

// Whether to take a snapshot: doing the passes since the last one again takes longer than that.
bool snapshot_due(double tail_seconds, double run_seconds, double recovery_seconds);
std::vector<int64_t> snapshot_steps(const std::string& folder);  // in order
// Writes what the model holds after a step, whose record has this checksum; the newest two stay.
// Where that has no space, the snapshots before make room. Throws RunError.
void save_snapshot(Model& model, const std::string& folder, int64_t step, uint32_t checksum);
// Brings the newest sound snapshot in that is not beyond a step; returns its step, 0 without any:
// then the model holds the bundle's values.
int64_t restore(Model& model, const std::string& folder, int64_t last, const Journal& journal,
                const std::function<void(const std::string&)>& say);

}  // namespace pocketllm
