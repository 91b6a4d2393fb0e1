#include "engine/signature_check.h"

#include <iterator>

#include "errors.h"
#include "host/native_output.h"

namespace pocketllm {
namespace {

// How a side of a signature is read from a model.
struct Side {
  decltype(&LiteRtGetNumSignatureInputs) count;
  decltype(&LiteRtGetSignatureInputName) name;
  decltype(&LiteRtGetSignatureInputTensorByIndex) tensor;
};

constexpr Side INPUTS = {LiteRtGetNumSignatureInputs, LiteRtGetSignatureInputName,
                         LiteRtGetSignatureInputTensorByIndex};
constexpr Side OUTPUTS = {LiteRtGetNumSignatureOutputs, LiteRtGetSignatureOutputName,
                          LiteRtGetSignatureOutputTensorByIndex};

// What a model says of a tensor; of a type or a rank that no bundle has, no dtype.
Tensor tensor_of(LiteRtTensor handle) {
  LiteRtRankedTensorType type;
  if (LiteRtGetRankedTensorType(handle, &type) || type.layout.rank > std::size(type.layout.dimensions)) return {"an unknown type", {}};
  const char* dtype = type.element_type == LITERT_FLOAT32 ? "float32"
                      : type.element_type == LITERT_INT32 ? "int32"
                                                          : "another type";
  return {dtype, {type.layout.dimensions, type.layout.dimensions + type.layout.rank}};
}

std::map<std::string, Tensor> tensors_of(LiteRtSignature entry, const Side& side,
                                         const std::string& where) {
  std::map<std::string, Tensor> tensors;
  size_t count;
  require(side.count(entry, &count), where);
  for (size_t place = 0; place < count; place++) {
    const char* name;
    LiteRtTensor tensor;
    require(side.name(entry, place, &name), where);
    require(side.tensor(entry, place, &tensor), where);
    tensors[name] = tensor_of(tensor);
  }
  return tensors;
}

void compare(const std::map<std::string, Tensor>& found,
             const std::map<std::string, Tensor>& expected, const std::string& where) {
  for (const auto& [name, tensor] : expected) {
    const auto entry = found.find(name);
    if (entry != found.end() && entry->second == tensor) continue;
    throw InputError(where + " has " +
                     (entry == found.end() ? "no " + name
                                           : name + " of " + entry->second.described()) +
                     ", bundle.json says " + tensor.described() + "; export it again");
  }
}

}  // namespace

std::string failure(const std::string& what, LiteRtStatus status) {
  return what + " (LiteRT status " + std::to_string(status) + native_output::explanation() + ")";
}

void require(LiteRtStatus status, const std::string& what) {
  if (status) throw RunError(failure(what, status));
}

// Finds a signature of a model; returns its index. Throws InputError where there is none.
size_t index_of(LiteRtModel model, const std::string& path, const std::string& name,
                LiteRtSignature* entry) {
  size_t count;
  require(LiteRtGetNumModelSignatures(model, &count), path);
  for (size_t index = 0; index < count; index++) {
    const char* key;
    require(LiteRtGetModelSignature(model, index, entry), path);
    require(LiteRtGetSignatureKey(*entry, &key), path);
    if (name == key) return index;
  }
  throw InputError(path + ": no signature '" + name + "'; export it again");
}

void check_signatures(LiteRtModel model, const std::string& path,
                      const std::map<std::string, Signature>& signatures) {
  for (const auto& [name, signature] : signatures) {
    LiteRtSignature entry;
    index_of(model, path, name, &entry);
    const std::string where = path + ": signature '" + name + "'";
    compare(tensors_of(entry, INPUTS, where), signature.inputs, where);
    compare(tensors_of(entry, OUTPUTS, where), signature.outputs, where);
  }
}

}  // namespace pocketllm
