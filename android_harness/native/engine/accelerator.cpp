#include "engine/accelerator.h"

#include <algorithm>
#include <cstdlib>

#include "errors.h"
#include "host/files.h"
#include "host/native_output.h"

namespace pocketllm {
namespace {

constexpr const char* LIBRARY = "libLiteRtWebGpuAccelerator.so";
constexpr const char* WITHOUT = ", or leave --accelerator out";
// What the library prints of a graph that is not taken whole, a line a signature.
constexpr const char* NONE = "No operations will run on the GPU, and all ";
constexpr const char* SOME = "operations will run on the GPU, and the remaining ";
constexpr const char* NO_DEVICE = "No adapters found";

// The sum of the numbers behind each occurrence of `before`.
size_t sum_behind(const std::string& text, const std::string& before) {
  size_t sum = 0;
  for (size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1))
    sum += std::strtoul(text.c_str() + at + before.size(), nullptr, 10);
  return sum;
}

std::unique_ptr<Engine> opened(const Bundle& bundle, int threads,
                               const std::vector<std::string>& signatures) {
  const uint64_t before = native_output::printed_bytes();
  const native_output::StdoutToo diverted;
  try {
    return std::make_unique<Engine>(bundle.model_path(), threads, IN_MEMORY,
                                    bundle.signatures_of(signatures), Accelerator::GPU);
  } catch (const InputError& error) {
    if (native_output::printed(before).find(NO_DEVICE) != std::string::npos)
      throw InputError(std::string("--accelerator=gpu: Vulkan, which the GPU is reached through, "
                                   "finds no device; install libvulkan1 and the device's driver") +
                       WITHOUT);
    throw InputError(std::string("--accelerator=gpu: ") + error.what() + WITHOUT);
  }
}

}  // namespace

Accelerated open_on_gpu(const Bundle& bundle, int threads,
                        const std::vector<std::string>& signatures) {
  const std::string library = library_folder() + "/" + LIBRARY;
  if (!exists(library))
    throw InputError("--accelerator=gpu: " + library + ": no such file; put the one of the same "
                     "ai-edge-litert beside libLiteRt.so" + WITHOUT);
  const uint64_t before = native_output::printed_bytes();
  Accelerated gpu;
  gpu.engine = opened(bundle, threads, signatures);
  size_t operators = 0, left = 0;
  for (const std::string& name : signatures) operators += gpu.engine->operators(name);
  if (!gpu.engine->is_taken_whole()) {
    const std::string text = native_output::printed(before);
    left = sum_behind(text, SOME) + sum_behind(text, NONE);
    if (!left) left = operators;  // the library says nothing of a GPU
  }
  const std::string all = std::to_string(operators);
  if (left >= operators)
    throw InputError("--accelerator=gpu: " + bundle.model_path() + ": the GPU takes none of the " +
                     all + " operators of the forward passes" + native_output::explanation() +
                     "; leave --accelerator out");
  gpu.description = "forward passes on the GPU, " + std::to_string(operators - left) + " of " + all +
                    " operators";
  return gpu;
}

}  // namespace pocketllm
