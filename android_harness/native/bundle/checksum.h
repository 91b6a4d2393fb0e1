// The checksum of bundle.json: sha256 of its bytes with 64 zeros in the place of these 64 digits.
#pragma once
#include <string>

#include "host/json.h"

namespace pocketllm {

// Throws InputError, which ends with `remedy`, where `written` is not the sum of the file's bytes.
void verify_checksum(const std::string& path, const Json& written, const std::string& remedy);

}  // namespace pocketllm
