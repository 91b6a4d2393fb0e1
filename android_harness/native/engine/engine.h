// A model file open in LiteRT's CompiledModel; every signature shares its variables.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"

namespace pocketllm {

// A tensor that goes into a signature.
struct Input {
  const char* name;
  const void* data;
  size_t bytes;
};

enum class Accelerator { CPU, GPU };

class Engine {
 public:
  // Opens a file. `packed` is where its constant matrices are packed for the kernels, unless the
  // file exists; ":memory" for memory. Only `signatures` can be called; of none, all can. On the GPU
  // they compute in float32. Throws InputError where the library cannot read it, or a signature has
  // another tensor than bundle.json says: before memory is taken for it.
  Engine(const std::string& path, int threads, const std::string& packed,
         const std::map<std::string, Signature>& signatures = {},
         Accelerator accelerator = Accelerator::CPU);
  ~Engine();
  Engine(const Engine&) = delete;

  // Calls a signature with all its inputs. Throws InputError where the file has no such signature
  // or an input has another size, RunError where the library fails.
  void run(const std::string& signature, const std::vector<Input>& inputs);
  // Copies an output of the last call; its size must be `bytes`.
  void read(const std::string& signature, const std::string& output, void* into, size_t bytes);
  float number(const std::string& signature, const std::string& output);
  // Drops the memory of a signature's inputs and outputs until its next call.
  void release(const std::string& signature);
  // How many operators a signature has in the file.
  size_t operators(const std::string& signature);
  // Whether an accelerator runs every operator.
  bool is_taken_whole();
  // Drops the resident pages of the mapped model file.
  void release_pages();

 private:
  struct Library;  // the handles, in an order in which they can be closed
  struct Called;   // a signature that was called, with its buffers
  Called& called(const std::string& name);

  std::string path_;
  std::unique_ptr<Library> library_;
  std::map<std::string, std::unique_ptr<Called>> called_;
};

// The folder that libLiteRt.so was loaded from: those of accelerators lie beside it.
std::string library_folder();

constexpr const char* IN_MEMORY = ":memory";

}  // namespace pocketllm
