#include "bundle/bundle.h"

#include "bundle/checks.h"
#include "bundle/checksum.h"
#include "errors.h"
#include "host/files.h"
#include "host/json.h"
#include "host/sha256.h"

namespace pocketllm {
namespace {

constexpr const char* REMEDY = "export the bundle again with `pocketllm export`";

std::vector<int64_t> shape_of(const Json& value, const std::string& place) {
  auto shape = value.get<std::vector<int64_t>>();
  check_shape(shape, place);
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
  bundle.words = values.at("word_ids").size();
  bundle.option_tokens = values.at("option_tokens").get<int>();
  bundle.pad_id = values.at("special_tokens").at("pad").get<int>();
  const Json& task = values.at("task");
  bundle.task_name = task.at("name").get<std::string>();
  if (task.contains("metrics")) bundle.metrics = task["metrics"].get<std::vector<std::string>>();
  for (const auto& item : values.at("signatures").items())
    bundle.signatures[item.key()] = {tensors_of(item.value().at("inputs"), item.key()),
                                     tensors_of(item.value().at("outputs"), item.key())};
  const auto model_bytes = values.at("files").at("model.tflite").at("bytes").get<int64_t>();
  for (const Json& parameter : values.at("parameters"))
    for (const Json& variable : parameter.at("variables")) {
      const auto name = variable.at("name").get<std::string>();
      bundle.variables[name] = {"float32", shape_of(variable.at("shape"), name)};
      check_place(variable.at("offset").get<int64_t>(), bundle.variables[name], name, model_bytes);
    }
  for (const Json& entry : values.at("frozen"))
    bundle.frozen.push_back(shape_of(entry.at("shape"), "frozen"));
  check_bundle(bundle);
  check_noise_table(values["noise"], model_bytes);
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

std::string Tensor::described() const { return dtype + " " + Json(shape).dump(); }

size_t Tensor::count() const {
  size_t count = 1;
  for (int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

std::map<std::string, Signature> Bundle::signatures_of(
    const std::vector<std::string>& names) const {
  std::map<std::string, Signature> some;
  for (const std::string& name : names) some[name] = signatures.at(name);
  return some;
}

size_t Bundle::sequences_per_row() const {
  const auto& ids = signatures.at(forward_loss(lengths.back())).inputs.at("input_ids");
  return static_cast<size_t>(ids.shape.at(0) / batch_size);
}

std::vector<std::string> Bundle::targets() const {
  if (scoring == "tokens") return {};
  if (scoring != "words") return {"option_start", "option_tokens"};
  return {style == "masked" ? "mask_position" : "last_position"};
}

Bundle read_bundle(const std::string& folder) {
  const std::string path = folder + "/bundle.json";
  if (exists(folder) && !is_folder(folder))
    throw InputError(folder + ": a file, expected the folder of a bundle; give that");
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
