// Parameters in a run directory: `parameters-STEP.npz`, in the format of numpy.savez: a ZIP archive
// of stored members, each an array in NumPy's format.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <optional>
#include <string>

#include "engine/model.h"

namespace pocketllm {

// Writes the model's parameters after a step, and the checksum of the step's record.
void save_parameters(Model& model, const std::string& path, uint32_t checksum);
// Brings parameters into a model, slice by slice. Throws Unreadable; some slices may have come in.
void load_parameters(Model& model, const std::string& path);
// The checksum in a file, none of a damaged one and of one without.
std::optional<uint32_t> checksum_in(const std::string& path);

// A file that is not what save_parameters writes.
struct Unreadable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace pocketllm
