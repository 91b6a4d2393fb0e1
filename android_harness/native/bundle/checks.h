// Whether the values of bundle.json agree with each other, before anything is done with them.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "host/json.h"

namespace pocketllm {

// A value that does not fit; read_bundle names the file.
struct Invalid : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void require(bool holds, const std::string& what);
// All of them throw Invalid. A shape that TFLite can count, of no more bytes than a file can have.
void check_shape(const std::vector<int64_t>& shape, const std::string& place);
// The initial values of a variable, which lie in the model file.
void check_place(int64_t offset, const Tensor& variable, const std::string& name,
                 int64_t model_bytes);
void check_noise_table(const Json& noise, int64_t model_bytes);
void check_bundle(const Bundle& bundle);

}  // namespace pocketllm
