#include "bundle/bundle.h"

#include <algorithm>

#include "bundle/checksum.h"
#include "errors.h"
#include "host/files.h"
#include "host/json.h"
#include "host/sha256.h"

namespace pocketllm {
namespace {

constexpr const char* REMEDY = "export the bundle again with `pocketllm export`";
constexpr int64_t MOST_VALUES = int64_t{1} << 60;

// A value that does not fit; read_bundle names the file.
struct Invalid : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void require(bool holds, const std::string& what) {
  if (!holds) throw Invalid(what);
}

std::vector<int64_t> shape_of(const Json& value, const std::string& place) {
  auto shape = value.get<std::vector<int64_t>>();
  int64_t count = 1;
  for (int64_t size : shape) {
    require(size >= 0 && size <= INT32_MAX && (size == 0 || count <= MOST_VALUES / size),
            place + " has an impossible shape");
    count *= size;
  }
  return shape;
}

std::map<std::string, Tensor> tensors_of(const Json& value, const std::string& place) {
  std::map<std::string, Tensor> tensors;
  for (const auto& item : value.items()) {
    Tensor tensor{item.value().at(0).get<std::string>(),
                  shape_of(item.value().at(1), item.key() + " of " + place)};
    require(tensor.dtype == "float32" || tensor.dtype == "int32",
            item.key() + " of " + place + " is of " + tensor.dtype);
    tensors[item.key()] = tensor;
  }
  return tensors;
}

// The rows that a forward pass takes are a multiple of the batch, of one length.
void check_rows(const Bundle& bundle, int tokens) {
  const auto& inputs = bundle.signatures.at(forward_loss(tokens)).inputs;
  const auto ids = inputs.find("input_ids");
  require(ids != inputs.end() && ids->second.shape.size() == 2 && ids->second.shape[0] > 0 &&
              ids->second.shape[0] % bundle.batch_size == 0,
          "signature '" + forward_loss(tokens) + "' takes no rows of " + std::to_string(tokens) +
              " tokens for a batch of " + std::to_string(bundle.batch_size));
}

// The table of z's values lies in the model file.
void check_noise_table(const Json& noise, const Json& model) {
  if (!noise.contains("offset")) {
    require(noise.at("kind") != "codebook", "the noise has no table");
    return;
  }
  const auto rows = noise.at("rows").get<int64_t>(), columns = noise.at("columns").get<int64_t>();
  const auto offset = noise["offset"].get<int64_t>(), values = model.at("bytes").get<int64_t>() / 4;
  require(rows > 0 && columns > 0 && offset >= 0 && offset / 4 < values &&
              rows <= (values - offset / 4) / columns,
          "the noise table is not inside the model file");
  require((rows & (rows - 1)) == 0, "the noise table has " + std::to_string(rows) +
                                        " rows, which is no power of two");
}

void check(const Bundle& bundle) {
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
  for (int index = 0; index < bundle.slices; index++) {
    for (const char* stem : {"initialize", "read", "write"})
      require(bundle.has(numbered(stem, index)), "no signature '" + numbered(stem, index) + "'");
    for (const auto& item : bundle.signatures.at(numbered("read", index)).outputs)
      require(bundle.variables.count(item.first), "parameters lack " + item.first);
  }
  for (int tokens : bundle.lengths) {
    require(bundle.has(forward_loss(tokens)), "no signature '" + forward_loss(tokens) + "'");
    check_rows(bundle, tokens);
    for (const auto& [is_there, name] :
         {std::pair{bundle.has_pairs(), forward_pair(tokens)},
          std::pair{bundle.has_pure(), forward_pure(tokens)},
          std::pair{bundle.has_pure() && bundle.has_pairs(), forward_pure_pair(tokens)}})
      require(!is_there || bundle.has(name), "no signature '" + name + "'");
  }
  for (const char* name : {"perturb_and_update", "perturb_and_decay"})
    require(bundle.has(name), std::string("no signature '") + name + "'");
}

Bundle parse(const std::string& folder, const Json& values) {
  Bundle bundle;
  bundle.folder = folder;
  bundle.checksum = values.at("checksum").get<std::string>();
  bundle.model_name = values.at("model_name").get<std::string>();
  bundle.style = values.at("style").get<std::string>();
  bundle.scoring = values.at("scoring").get<std::string>();
  bundle.base = values.at("base").get<std::string>();
  bundle.noise = values.at("noise").at("kind").get<std::string>();
  bundle.default_eps = values.at("default_eps").get<double>();
  bundle.batch_size = values.at("batch_size").get<int>();
  bundle.slices = values.at("slices").get<int>();
  bundle.lengths = values.at("lengths").get<std::vector<int>>();
  bundle.vocabulary = values.at("config").at("vocab_size").get<int>();
  bundle.pad_id = values.at("special_tokens").at("pad").get<int>();
  const Json& task = values.at("task");
  bundle.task_name = task.at("name").get<std::string>();
  if (task.contains("metrics")) bundle.metrics = task["metrics"].get<std::vector<std::string>>();
  for (const auto& item : values.at("signatures").items())
    bundle.signatures[item.key()] = {tensors_of(item.value().at("inputs"), item.key()),
                                     tensors_of(item.value().at("outputs"), item.key())};
  for (const Json& parameter : values.at("parameters"))
    for (const Json& variable : parameter.at("variables")) {
      const auto name = variable.at("name").get<std::string>();
      bundle.variables[name] = shape_of(variable.at("shape"), name);
    }
  for (const Json& entry : values.at("frozen"))
    bundle.frozen.push_back(shape_of(entry.at("shape"), "frozen"));
  check(bundle);
  check_noise_table(values["noise"], values.at("files").at("model.tflite"));
  return bundle;
}

void verify(const std::string& folder, const std::string& name, const Json& entry) {
  const bool is_name = !name.empty() && name.find('/') == std::string::npos && name[0] != '.' &&
                       name.find('\0') == std::string::npos;
  if (!is_name)
    throw InputError(folder + ": file name '" + name + "' leaves the bundle's folder; " + REMEDY);
  const std::string path = folder + "/" + name, sum = entry.at("sha256").get<std::string>();
  const bool is_optional = name == "source.json" || name == "tokenizer.json";
  if (is_optional && !exists(path)) return;
  try {
    const uint64_t size = File::open_to_read(path).size(), bytes = entry.at("bytes").get<uint64_t>();
    if (size != bytes)
      throw InputError(path + ": " + std::to_string(size) + " bytes, expected " +
                       std::to_string(bytes) + "; " + REMEDY);
    const std::string digest = sha256_of_file(path);
    if (digest != sum)
      throw InputError(path + ": sha256 " + digest.substr(0, 12) + "…, expected " +
                       sum.substr(0, 12) + "…: the file was altered; " + REMEDY);
  } catch (const std::system_error& error) {
    throw InputError(path + ": " + error.code().message() + "; " + REMEDY);
  }
}

}  // namespace

size_t Tensor::count() const {
  size_t count = 1;
  for (int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

Bundle read_bundle(const std::string& folder) {
  const std::string path = folder + "/bundle.json";
  const Json values = read_json(path, std::string("give the folder of a bundle, or ") + REMEDY);
  const Json version = values.value("format_version", Json());
  if (version != FORMAT_VERSION)
    throw InputError(path + ": bundle format " + version.dump().substr(0, 40) +
                     ", this program reads format " + std::to_string(FORMAT_VERSION) + "; " +
                     REMEDY);
  verify_checksum(path, values.value("checksum", Json()), REMEDY);
  try {
    Bundle bundle = parse(folder, values);
    for (const auto& item : values.at("files").items()) verify(folder, item.key(), item.value());
    return bundle;
  } catch (const Json::exception& error) {
    throw InputError(path + ": not a valid bundle (" + error.what() + "); " + REMEDY);
  } catch (const Invalid& error) {
    throw InputError(path + ": not a valid bundle (" + error.what() + "); " + REMEDY);
  }
}

std::string forward_loss(int tokens) { return "forward_loss_" + std::to_string(tokens); }

std::string forward_pair(int tokens) { return "forward_pair_" + std::to_string(tokens); }

std::string forward_pure(int tokens) { return "forward_pure_" + std::to_string(tokens); }

std::string forward_pure_pair(int tokens) {
  return "forward_pure_pair_" + std::to_string(tokens);
}

std::string numbered(const std::string& stem, int index) {
  return stem + "_" + std::to_string(index);
}

}  // namespace pocketllm
