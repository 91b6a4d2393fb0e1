// Whether a model that was just opened draws the directions that the reference does.
#pragma once
#include "bundle/bundle.h"
#include "data/noise.h"
#include "engine/model.h"

namespace pocketllm {

// Reads the table of the kind codebook out of a bundle's model file.
Codebook read_codebook(const Bundle& bundle);

// Compares the first values of z of one seed, in every variable, with data/noise.h. It comes before
// `model.initialize`: θ is that z behind it. Throws RunError where z is another.
void check_noise(Model& model);

}  // namespace pocketllm
