// A run's folder: its config.json, whom it belongs to, and beginning or continuing it.
#pragma once
#include <optional>
#include <string>

#include "bundle/bundle.h"
#include "data/rows.h"
#include "journal/reader.h"
#include "optim/optimizer.h"

namespace pocketllm {

// What a run's steps depend on; a run directory never changes it.
struct RunConfig {
  Settings settings;
  size_t batch_size = 0;
  int64_t seed = 0;
  std::string bundle_checksum, train_sha256, split, noise;

  Json described() const;  // what config.json holds
  Json header() const;     // of the journal: without `steps`, which may be raised
};

// The config.json of a run that has begun, none of a new one. Throws InputError of a damaged one.
std::optional<Json> begun(const std::string& folder);
// Checks that a folder may hold this run, and writes nothing; returns its journal where there is
// one. Throws InputError: it holds another run, or something else.
std::optional<Journal> steps_so_far(const std::string& folder, const RunConfig& config);
// Prepares a folder for more steps; its lock must be held. Returns the steps taken before.
Journal start_or_continue(const std::string& folder, const RunConfig& config);
// Says what is left out at the end of a journal, "" where nothing is.
std::string describe_torn_end(const std::string& folder, const Journal& journal);

}  // namespace pocketllm
