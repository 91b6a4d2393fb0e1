#include "bundle/checks.h"

#include <algorithm>
#include <functional>

namespace pocketllm {
namespace {

constexpr int64_t MOST_VALUES = int64_t{1} << 60;
constexpr size_t MOST_DIMENSIONS = 8;

// A signature has a tensor, of one dtype and shape.
void check_tensor(const std::map<std::string, Tensor>& tensors, const std::string& signature,
                  const std::string& name, const Tensor& expected) {
  const auto found = tensors.find(name);
  require(found != tensors.end(), "no " + name + " of signature '" + signature + "'");
  require(found->second == expected,
          name + " of " + found->second.described() + " of signature '" + signature +
              "', expected " + expected.described());
}

// A forward pass takes a batch of rows of one length, and gives what its scoring says.
void check_forward(const Bundle& bundle, const std::string& name, int tokens) {
  const auto& signature = bundle.signatures.at(name);
  const auto& inputs = signature.inputs;
  const auto ids = inputs.find("input_ids");
  require(ids != inputs.end() && ids->second.shape.size() == 2 && ids->second.shape[0] > 0 &&
              ids->second.shape[0] % bundle.batch_size == 0 && ids->second.shape[1] == tokens,
          "signature '" + name + "' takes no rows of " + std::to_string(tokens) +
              " tokens for a batch of " + std::to_string(bundle.batch_size));
  const int64_t slots = ids->second.shape[0], rows = bundle.batch_size, options = slots / rows;
  require(bundle.scoring == "options" || options == 1,
          "signature '" + name + "' takes " + std::to_string(options) + " sequences a row");
  auto check_input = [&](const std::string& input, const Tensor& expected) {
    check_tensor(inputs, name, input, expected);
  };
  check_input("input_ids", {"int32", {slots, tokens}});
  check_input("attention_mask", {"int32", {slots, tokens}});
  check_input("weight", {"float32", {rows}});
  for (const std::string& target : bundle.targets()) check_input(target, {"int32", {slots}});
  if (bundle.scoring == "tokens") check_input("loss_mask", {"int32", {slots, tokens}});
  if (bundle.scoring == "words" || bundle.scoring == "options")
    check_input("label", {"int32", {rows}});
  const int64_t classes =
      bundle.scoring == "words" ? static_cast<int64_t>(bundle.words) : options;
  for (const auto& [output, tensor] :
       {std::pair<const char*, Tensor>{"loss", {"float32", {1}}},
        {"weight_sum", {"float32", {1}}},
        {"logits", {"float32", {rows, classes}}}})
    check_tensor(signature.outputs, name, output, tensor);
}

// What a slice reads and writes are variables, whose size the model file bounds.
void check_slice(const Bundle& bundle, int index) {
  for (const char* stem : {"initialize", "read", "write"})
    require(bundle.has(numbered(stem, index)), "no signature '" + numbered(stem, index) + "'");
  for (const bool reads : {true, false}) {
    const std::string name = numbered(reads ? "read" : "write", index);
    const Signature& signature = bundle.signatures.at(name);
    for (const auto& [variable, tensor] : reads ? signature.outputs : signature.inputs) {
      require(bundle.variables.count(variable), "parameters lack " + variable);
      check_tensor({{variable, tensor}}, name, variable, bundle.variables.at(variable));
    }
  }
}

void check_length(const Bundle& bundle, int tokens) {
  require(bundle.has(forward_loss(tokens)), "no signature '" + forward_loss(tokens) + "'");
  check_forward(bundle, forward_loss(tokens), tokens);
  for (const auto& [is_there, name] :
       {std::pair{bundle.has_pairs(), forward_pair(tokens)},
        std::pair{bundle.has_pure(), forward_pure(tokens)},
        std::pair{bundle.has_pure() && bundle.has_pairs(), forward_pure_pair(tokens)}})
    require(!is_there || bundle.has(name), "no signature '" + name + "'");
  if (bundle.has_pure()) check_forward(bundle, forward_pure(tokens), tokens);
}

}  // namespace

void require(bool holds, const std::string& what) {
  if (!holds) throw Invalid(what);
}

void check_shape(const std::vector<int64_t>& shape, const std::string& place) {
  int64_t count = 1;
  bool is_possible = shape.size() <= MOST_DIMENSIONS;
  for (int64_t size : shape) {
    is_possible &= size >= 0 && size <= INT32_MAX && (size == 0 || count <= MOST_VALUES / size);
    if (is_possible) count *= size;
  }
  require(is_possible, place + " has the impossible shape " + Json(shape).dump());
}

void check_place(int64_t offset, const Tensor& variable, const std::string& name,
                 int64_t model_bytes) {
  const auto values = static_cast<int64_t>(variable.count());
  require(values > 0 && offset >= 0 && offset <= model_bytes && values <= (model_bytes - offset) / 4,
          name + " " + Json(variable.shape).dump() + " at " + std::to_string(offset) +
              " is not inside the model file");
}

void check_noise_table(const Json& noise, int64_t model_bytes) {
  if (!noise.contains("offset")) {
    require(noise.at("kind") != "codebook", "the noise has no table");
    return;
  }
  const auto rows = noise.at("rows").get<int64_t>(), columns = noise.at("columns").get<int64_t>();
  const auto offset = noise["offset"].get<int64_t>(), values = model_bytes / 4;
  require(rows > 0 && columns > 0 && offset >= 0 && offset / 4 < values &&
              rows <= (values - offset / 4) / columns,
          "the noise table is not inside the model file");
  require((rows & (rows - 1)) == 0, "the noise table has " + std::to_string(rows) +
                                        " rows, which is no power of two");
}

void check_bundle(const Bundle& bundle) {
  require(bundle.batch_size > 0 && bundle.slices > 0, "batch_size and slices must be positive");
  require(!bundle.lengths.empty() && bundle.lengths[0] > 0 &&
              std::adjacent_find(bundle.lengths.begin(), bundle.lengths.end(),
                                 std::greater_equal<int>()) == bundle.lengths.end(),
          "lengths are not ascending");
  require(bundle.default_eps > 0 && bundle.default_eps < 1e30, "default_eps is not positive");
  require(bundle.noise == "codebook" || bundle.noise == "gaussian" || bundle.noise == "rademacher",
          "unknown noise kind '" + bundle.noise + "'");
  require(bundle.scoring == "words" || bundle.scoring == "options" || bundle.scoring == "gold" ||
              bundle.scoring == "tokens",
          "unknown scoring '" + bundle.scoring + "'");
  require(bundle.vocabulary > 0 && bundle.pad_id >= 0 && bundle.pad_id < bundle.vocabulary,
          "vocab_size or the pad token is impossible");
  for (int index = 0; index < bundle.slices; index++) check_slice(bundle, index);
  for (int tokens : bundle.lengths) check_length(bundle, tokens);
  for (const char* name : {"perturb_and_update", "perturb_and_decay"})
    require(bundle.has(name), std::string("no signature '") + name + "'");
}

}  // namespace pocketllm
