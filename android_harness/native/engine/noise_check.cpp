#include "engine/noise_check.h"

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "host/files.h"
#include "host/json.h"

namespace pocketllm {
namespace {

constexpr int32_t SEED = 20260;  // any
constexpr size_t VALUES = 4096;  // of a variable that are compared
// Logarithm and cosine are the library's own; the other kinds have z's bits.
constexpr double GAUSSIAN_TOLERANCE = 1e-5;

std::map<std::string, uint32_t> streams_of(const Json& manifest) {
  std::map<std::string, uint32_t> streams;
  for (const Json& parameter : manifest.at("parameters"))
    for (const Json& variable : parameter.at("variables"))
      streams[variable.at("name").get<std::string>()] = variable.at("stream").get<uint32_t>();
  return streams;
}

}  // namespace

Codebook read_codebook(const Bundle& bundle) {
  const Json noise = read_json(bundle.folder + "/bundle.json", "").at("noise");
  Codebook codebook{noise.at("rows").get<size_t>(), noise.at("columns").get<size_t>(), {}};
  codebook.values.resize(codebook.rows * codebook.columns);
  File::open_to_read(bundle.model_path())
      .read_at(codebook.values.data(), 4 * codebook.values.size(), noise.at("offset").get<uint64_t>());
  return codebook;
}

void check_noise(Model& model) {
  const Bundle& bundle = model.bundle();
  const auto streams = streams_of(read_json(bundle.folder + "/bundle.json", ""));
  const Codebook codebook = bundle.noise == "codebook" ? read_codebook(bundle) : Codebook{};
  const double tolerance = bundle.noise == "gaussian" ? GAUSSIAN_TOLERANCE : 0;
  model.write([](const std::string&, Values& values) { std::fill(values.begin(), values.end(), 0.0f); });
  model.perturb(SEED, 1);
  model.read([&](const std::string& name, const Values& drawn) {
    // A longer z begins alike: of gaussians, which come in two halves, in its first half.
    const size_t size = std::min(drawn.size(), 2 * VALUES);
    const auto z = direction(bundle.noise, codebook, SEED, streams.at(name), size);
    for (size_t i = 0; i < std::min(size, VALUES); i++)
      if (!(std::abs(double{drawn[i]} - double{z[i]}) <= tolerance))
        throw RunError(bundle.model_path() + ": litert draws another direction z than the reference, "
                       "first in " + name + ": no run of it could be replayed; take another version "
                       "of the library");
  });
}

}  // namespace pocketllm
