// The signatures of an open model, and whether their tensors are those of bundle.json.
#pragma once
#include <map>
#include <string>

#include "bundle/bundle.h"
#include "engine/litert_api.h"

namespace pocketllm {

// What the library said of a call that failed, in one line.
std::string failure(const std::string& what, LiteRtStatus status);
// Throws RunError where a call failed.
void require(LiteRtStatus status, const std::string& what);
// Finds a signature of a model; returns its index. Throws InputError where there is none.
size_t index_of(LiteRtModel model, const std::string& path, const std::string& name,
                LiteRtSignature* entry);
// Throws InputError where the model lacks a signature, or one has another tensor: no memory was
// taken yet for sizes that nobody checked.
void check_signatures(LiteRtModel model, const std::string& path,
                      const std::map<std::string, Signature>& signatures);

}  // namespace pocketllm
