// What a model cannot compute with, in rows whose file is whole: ENCODED.md, "What is refused".
#pragma once
#include <string>

#include "data/rows.h"

namespace pocketllm {

// Says what an example has that the bundle does not take, and what was expected; "" for nothing.
std::string problem_of(const Example& example, const Bundle& bundle);

}  // namespace pocketllm
