#include "engine/engine.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "engine/litert_api.h"
#include "engine/signature_check.h"
#include "errors.h"
#include "host/files.h"
#include "host/memory.h"
#include "host/signals.h"
#include "host/text.h"

namespace pocketllm {
namespace {

constexpr const char* GPU_IN_FLOAT32 = "precision = 2\n";

// A string as LiteRT reads TOML: what is between the first and the last quote of a line, as it is.
std::string quoted(const std::string& text) { return '"' + text + '"'; }

void add_options(LiteRtOptions options, const char* identifier, const std::string& toml) {
  LiteRtOpaqueOptions opaque;
  char* payload = strdup(toml.c_str());
  require(LiteRtCreateOpaqueOptions(identifier, payload, std::free, &opaque), "options");
  require(LiteRtAddOpaqueOptions(options, opaque), "options");
}

// An environment that looks for the libraries of these accelerators, and for no other.
LiteRtEnvironment environment_of(int accelerators) {
  const std::string folder = library_folder();
  LiteRtEnvOption options[3] = {};
  options[0].tag = LITERT_LOG_SEVERITY;
  options[0].value.type = LITERT_ANY_INTEGER;
  options[0].value.integer = LITERT_LOG_WARNINGS;
  options[1].tag = LITERT_ACCELERATORS;
  options[1].value.type = LITERT_ANY_INTEGER;
  options[1].value.integer = accelerators;
  options[2].tag = LITERT_LIBRARY_FOLDER;
  options[2].value.type = LITERT_ANY_TEXT;
  options[2].value.text = folder.c_str();
  LiteRtEnvironment environment;
  require(LiteRtCreateEnvironment(3, options, &environment), "LiteRT cannot start");
  return environment;
}

// The line that opens some signatures alone, none for all: the library keeps some kB of every operator
// that it opens, called or not.
std::string selection_of(const std::map<std::string, Signature>& signatures) {
  if (signatures.empty()) return "";
  std::vector<std::string> names;
  for (const auto& signature : signatures) names.push_back(quoted(signature.first));
  return "selected_signature_keys = [" + joined(names, ", ") + "]\n";
}

std::string real_path(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string text = resolved ? resolved : path;
  std::free(resolved);
  return text;
}

}  // namespace

std::string library_folder() {
  Dl_info info;
  void* const symbol = dlsym(RTLD_DEFAULT, "LiteRtCreateEnvironment");
  if (!symbol || !dladdr(symbol, &info)) return ".";
  return folder_of(real_path(info.dli_fname));
}

struct Engine::Library {
  LiteRtEnvironment environment = nullptr;
  LiteRtModel model = nullptr;
  LiteRtOptions options = nullptr;
  LiteRtCompiledModel compiled = nullptr;

  ~Library() {
    if (compiled) LiteRtDestroyCompiledModel(compiled);
    if (options) LiteRtDestroyOptions(options);
    if (model) LiteRtDestroyModel(model);
    if (environment) LiteRtDestroyEnvironment(environment);
  }
};

struct Engine::Called {
  struct Buffer {
    std::string name;
    LiteRtTensorBuffer handle;
    size_t bytes;
  };

  Called() = default;
  Called(const Called&) = delete;
  ~Called() {
    for (const auto* side : {&inputs, &outputs})
      for (const Buffer& buffer : *side) LiteRtDestroyTensorBuffer(buffer.handle);
  }

  void add(Library& library, LiteRtSignature entry, size_t place, bool is_input) {
    const char* name;
    LiteRtTensor tensor;
    LiteRtRankedTensorType type;
    LiteRtTensorBufferRequirements needed;
    Buffer buffer{};
    auto name_at = is_input ? LiteRtGetSignatureInputName : LiteRtGetSignatureOutputName;
    auto tensor_at =
        is_input ? LiteRtGetSignatureInputTensorByIndex : LiteRtGetSignatureOutputTensorByIndex;
    auto needed_at = is_input ? LiteRtGetCompiledModelInputBufferRequirements
                              : LiteRtGetCompiledModelOutputBufferRequirements;
    require(name_at(entry, place, &name), "a signature's tensor");
    require(tensor_at(entry, place, &tensor), name);
    require(LiteRtGetRankedTensorType(tensor, &type), name);
    require(needed_at(library.compiled, index, place, &needed), name);
    require(LiteRtCreateManagedTensorBufferFromRequirements(library.environment, &type, needed,
                                                            &buffer.handle),
            name);
    buffer.name = name;
    (is_input ? inputs : outputs).push_back(buffer);
    require(LiteRtGetTensorBufferPackedSize(buffer.handle,
                                            &(is_input ? inputs : outputs).back().bytes),
            name);
  }

  size_t index = 0;
  std::vector<Buffer> inputs, outputs;
  std::vector<LiteRtTensorBuffer> input_handles, output_handles;
};

Engine::Engine(const std::string& path, int threads, const std::string& packed,
               const std::map<std::string, Signature>& signatures, Accelerator accelerator)
    : path_(real_path(path)), library_(new Library) {
  signals::set_activity("opening model.tflite");
  const bool on_gpu = accelerator == Accelerator::GPU;
  const int accelerators = on_gpu ? LITERT_CPU | LITERT_GPU : LITERT_CPU;
  Library& library = *library_;
  library.environment = environment_of(accelerators);
  auto refuse = [&](LiteRtStatus status) {
    if (status)
      throw InputError(failure(path_ + ": litert cannot open it", status) + "; export it again");
  };
  refuse(LiteRtCreateModelFromFile(library.environment, path_.c_str(), &library.model));
  check_signatures(library.model, path_, signatures);
  require(LiteRtCreateOptions(&library.options), "options");
  require(LiteRtSetOptionsHardwareAccelerators(library.options, accelerators), "options");
  if (on_gpu) add_options(library.options, "gpu_options", GPU_IN_FLOAT32);
  add_options(library.options, "xnnpack",
              "num_threads = " + std::to_string(threads) +
                  "\nweight_cache_file_path = " + quoted(packed) + "\n");
  // With clustering, every variable is read in a partition of its own, and copied (decision 3).
  add_options(library.options, "runtime_options_string",
              "disable_delegate_clustering = true\nerror_reporter_mode = 1\n" +
                  selection_of(signatures));
  refuse(LiteRtCreateCompiledModel(library.environment, library.model, library.options,
                                   &library.compiled));
}

Engine::~Engine() = default;

Engine::Called& Engine::called(const std::string& name) {
  const auto kept = called_.find(name);
  if (kept != called_.end()) return *kept->second;
  LiteRtSignature entry;
  auto opened = std::make_unique<Called>();
  opened->index = index_of(library_->model, path_, name, &entry);
  size_t inputs, outputs;
  require(LiteRtGetNumSignatureInputs(entry, &inputs), name);
  require(LiteRtGetNumSignatureOutputs(entry, &outputs), name);
  for (size_t i = 0; i < inputs; i++) opened->add(*library_, entry, i, true);
  for (size_t i = 0; i < outputs; i++) opened->add(*library_, entry, i, false);
  for (auto& buffer : opened->inputs) opened->input_handles.push_back(buffer.handle);
  for (auto& buffer : opened->outputs) opened->output_handles.push_back(buffer.handle);
  return *(called_[name] = std::move(opened));
}

void Engine::run(const std::string& name, const std::vector<Input>& inputs) {
  Called& called = this->called(name);
  signals::set_activity(name);
  for (auto& buffer : called.inputs) {
    const Input* given = nullptr;
    for (const Input& input : inputs)
      if (buffer.name == input.name) given = &input;
    if (!given || given->bytes != buffer.bytes)
      throw InputError(path_ + ": " + name + " wants " + std::to_string(buffer.bytes) +
                       " bytes of " + buffer.name + ", found " +
                       std::to_string(given ? given->bytes : 0) + "; export it again");
    void* address;
    require(LiteRtLockTensorBuffer(buffer.handle, &address, LITERT_WRITE), name);
    std::memcpy(address, given->data, given->bytes);
    require(LiteRtUnlockTensorBuffer(buffer.handle), name);
  }
  require(LiteRtRunCompiledModel(library_->compiled, called.index, called.inputs.size(),
                                 called.input_handles.data(), called.outputs.size(),
                                 called.output_handles.data()),
          path_ + ": " + name + " failed");
}

void Engine::read(const std::string& name, const std::string& output, void* into, size_t bytes) {
  for (auto& buffer : called(name).outputs) {
    if (buffer.name != output) continue;
    if (buffer.bytes != bytes) break;
    void* address;
    require(LiteRtLockTensorBuffer(buffer.handle, &address, LITERT_READ), name);
    std::memcpy(into, address, bytes);
    require(LiteRtUnlockTensorBuffer(buffer.handle), name);
    return;
  }
  throw InputError(path_ + ": " + name + " gives no " + output + " of " + std::to_string(bytes) +
                   " bytes; export it again");
}

float Engine::number(const std::string& name, const std::string& output) {
  float value;
  read(name, output, &value, sizeof value);
  return value;
}

void Engine::release(const std::string& name) { called_.erase(name); }

size_t Engine::operators(const std::string& name) {
  LiteRtSignature entry;
  LiteRtSubgraph graph;
  size_t count;
  index_of(library_->model, path_, name, &entry);
  require(LiteRtGetSignatureSubgraph(entry, &graph), name);
  require(LiteRtGetNumSubgraphOps(graph, &count), name);
  return count;
}

bool Engine::is_taken_whole() {
  bool is_whole = false;
  require(LiteRtCompiledModelIsNonCpuFullyAccelerated(library_->compiled, &is_whole), path_);
  return is_whole;
}

void Engine::release_pages() { release_file_pages(path_); }

}  // namespace pocketllm
