// The flags of a run as the settings of its optimizer.
#pragma once
#include <optional>

#include "bundle/bundle.h"
#include "flags.h"
#include "host/json.h"
#include "optim/optimizer.h"

namespace pocketllm {

// Returns the settings of a run; `stored` is the config of one that has begun. Throws InputError.
Settings settings_of(const Flags& flags, const Bundle& bundle, const std::optional<Json>& stored);

// Whether both probes of a run's steps are one forward pass. Throws InputError where that is asked
// for and cannot be.
bool takes_pairs(const Flags& flags, const Bundle& bundle, const Settings& settings);

// Whether forward passes run on the GPU. Throws InputError where the bundle has none for it.
bool takes_gpu(const Flags& flags, const Bundle& bundle);

}  // namespace pocketllm
