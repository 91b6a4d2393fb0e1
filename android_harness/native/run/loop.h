// The loop of a run: its steps one after the other, their records and lines, the dev evaluations.
#pragma once
#include <functional>
#include <string>

#include "data/rows.h"
#include "engine/model.h"
#include "host/memory.h"
#include "host/pauses.h"
#include "run/evaluate.h"
#include "run/folder.h"

namespace pocketllm {

// What a run is given.
struct Training {
  Model& model;  // initialised to the bundle's values
  const Rows& data;
  const Rows* dev;  // to choose the best step by, or none
  std::string folder, engine;
  RunConfig config;
  int64_t eval_every;  // 0: at the start and the end only
  double recovery_seconds;
  Pauses& pauses;
  std::function<void(const std::string&)> say;
  std::function<void(const Step&)> stepped;
  bool pairs;  // whether both probes of a step are one forward pass
};

// The end of it, or of this part of it.
struct Trained {
  int64_t last_step = 0, best_step = 0;
  double step_seconds = 0;  // median of the steps taken here, 0 of none
  Peak peak;
  bool is_stopped = false;  // whether a signal ended it early
};

// Runs an optimizer up to the config's steps; the folder's lock must be held. It goes on from the
// steps that the folder holds. Throws InputError, RunError; the steps before are kept.
Trained train(const Training& training);

}  // namespace pocketllm
