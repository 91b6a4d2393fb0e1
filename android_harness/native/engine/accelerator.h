// The forward passes of a bundle on the GPU; noise, update and initial values stay on the processor.
#pragma once
#include <memory>
#include <string>

#include "bundle/bundle.h"
#include "engine/engine.h"

namespace pocketllm {

// A second engine on a bundle's file, which runs its pure signatures alone.
struct Accelerated {
  std::unique_ptr<Engine> engine;
  std::string description;  // how many operators the GPU takes
};

// Opens `signatures` of a bundle on the GPU. Throws InputError where they are not there, no library
// of an accelerator or no device is, or the GPU takes no operator.
Accelerated open_on_gpu(const Bundle& bundle, int threads,
                        const std::vector<std::string>& signatures);

}  // namespace pocketllm
