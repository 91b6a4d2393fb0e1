// A run's machine.json: which machine and engine made which of its steps. Only reports need it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "bundle/bundle.h"

namespace pocketllm {

// Writes that this machine makes the steps from `first_step` on. Throws RunError.
void record_session(const std::string& folder, int64_t first_step, const Bundle& bundle,
                    const std::string& engine,
                    const std::function<void(const std::string&)>& say);

}  // namespace pocketllm
