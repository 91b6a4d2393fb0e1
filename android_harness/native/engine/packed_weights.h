// The file of packed weights beside a bundle's model: made once, for one model on one machine.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "bundle/bundle.h"
#include "engine/engine.h"

namespace pocketllm {

using Say = std::function<void(const std::string&)>;

// Opens a bundle: a frozen base with its packed weights in a file, which is made first where none
// fits the stamp beside it. It is the file and the stamp of `pocketllm train`. Only `signatures` can
// be called, all of none; the file is packed for all of them.
std::unique_ptr<Engine> open_engine(const Bundle& bundle, int threads, bool packed_in_file,
                                    const std::vector<std::string>& signatures, const Say& say);

// Names the library, its version, threads, and where packed weights are; `accelerated` says what of
// the forward passes runs elsewhere, where they do.
std::string describe_engine(const Bundle& bundle, int threads, bool packed_in_file,
                            const std::string& accelerated);
std::string library_version();

}  // namespace pocketllm
