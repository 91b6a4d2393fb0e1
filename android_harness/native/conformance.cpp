#include "conformance.h"

#include <stdlib.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>

#include "data/order.h"
#include "data/rows.h"
#include "engine/noise_check.h"
#include "engine/packed_weights.h"
#include "errors.h"
#include "host/files.h"
#include "host/json.h"
#include "journal/reader.h"
#include "journal/writer.h"
#include "optim/optimizer.h"

namespace pocketllm {
namespace {

constexpr double GAUSSIAN_TOLERANCE = 1e-6, LOSS_TOLERANCE = 1e-5;

void say(const std::string& line) { std::printf("%s\n", line.c_str()); }

Json vectors(const std::string& path) {
  const auto data = read_file(path);
  Json value = data ? Json::parse(*data, nullptr, false) : Json();
  if (value.is_discarded() || value.is_null())
    throw InputError(path + ": cannot be read; give the folder tests/conformance");
  return value;
}

template <typename Number>
std::vector<Number> array(const std::string& path) {
  const auto data = read_file(path);
  if (!data) throw InputError(path + ": cannot be read; give the folder tests/conformance");
  std::vector<Number> values(data->size() / sizeof(Number));
  std::memcpy(values.data(), data->data(), values.size() * sizeof(Number));
  return values;
}

void require(bool holds, const std::string& file, const std::string& what) {
  if (!holds) throw RunError(file + ": " + what + " differs from what this program makes");
}

// Whether values are those of an array from a place on, to the bit.
template <typename Number>
bool are_at(const std::vector<Number>& values, const std::vector<Number>& all, size_t place) {
  return place + values.size() <= all.size() &&
         !std::memcmp(values.data(), all.data() + place, values.size() * sizeof(Number));
}

void check_directions(const std::string& folder) {
  const std::string file = folder + "/noise.json";
  const Json described = vectors(file);
  const auto words = array<uint32_t>(folder + "/noise-words.u32");
  const auto angles = array<uint32_t>(folder + "/noise-second-words.u32");
  const auto values = array<float>(folder + "/noise-values.f32");
  size_t place = 0, count = described.at("words").at("count").get<size_t>();
  for (const Json& entry : described.at("words").at("cases")) {
    const auto seed = entry.at("seed").get<int32_t>();
    const auto stream = entry.at("stream").get<uint32_t>();
    require(are_at(noise_words(seed, stream, count), words, place), file, "a word");
    require(are_at(noise_words(seed, stream, count, true), angles, place), file, "a second word");
    place += count;
  }
  const Codebook codebook = read_codebook(read_bundle(folder + "/masked"));
  place = 0, count = described.at("values").at("count").get<size_t>();
  for (const Json& entry : described.at("values").at("cases")) {
    const auto kind = entry.at("kind").get<std::string>();
    const auto z = direction(kind, codebook, entry.at("seed").get<int32_t>(),
                             entry.at("stream").get<uint32_t>(), count);
    if (kind == "gaussian")
      for (size_t i = 0; i < count; i++)
        require(std::abs(z[i] - values.at(place + i)) <= GAUSSIAN_TOLERANCE, file, "a value of z");
    else
      require(are_at(z, values, place), file, "a value of z");
    place += count;
  }
  say(file + ": words and values of z are equal");
}

void check_order(const std::string& folder) {
  const std::string file = folder + "/order.json";
  for (const Json& entry : vectors(file)) {
    const auto seed = entry.at("seed").get<int64_t>();
    const auto step = entry.at("step").get<uint64_t>();
    Order order(entry.at("count").get<size_t>(), entry.at("batch_size").get<size_t>(), seed);
    require(order.members(step) == entry.at("members").get<std::vector<size_t>>(), file, "a member");
    require(step_seed(seed, static_cast<int64_t>(step)) == entry.at("step_seed").get<int32_t>(),
            file, "a seed");
  }
  say(file + ": members and seeds are equal");
}

void check_rows(const std::string& folder, const std::string& style, const Json& described) {
  const Bundle bundle = read_bundle(folder + "/" + style);
  const Rows rows(folder + "/" + style + ".rows", bundle);
  const Json& examples = described.at("examples");
  require(rows.size() == examples.size(), rows.path, "the number of examples");
  for (size_t i = 0; i < rows.size(); i++) {
    const Example example = rows.example(i);
    const Json& sequences = examples[i].at("sequences");
    require(example.golds == examples[i].at("golds").get<std::vector<uint32_t>>(), rows.path,
            "a right option");
    require(example.sequences.size() == sequences.size(), rows.path, "a number of sequences");
    for (size_t s = 0; s < sequences.size(); s++) {
      const Sequence& sequence = example.sequences[s];
      const std::vector<int32_t> ids(sequence.input_ids, sequence.input_ids + sequence.tokens);
      require(ids == sequences[s].at("input_ids").get<std::vector<int32_t>>(), rows.path, "an id");
      for (size_t t = 0; t < rows.targets.size(); t++)
        require(sequence.targets[t] ==
                    sequences[s].at("target").at(rows.targets[t]).get<int32_t>(),
                rows.path, rows.targets[t]);
    }
  }
  say(rows.path + ": rows are equal");
}

// A folder that is removed at the end, for the journal that is written anew.
class Scratch {
 public:
  Scratch() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base ? base : "/tmp") + "/pocketllm-XXXXXX";
    if (!mkdtemp(path_.data())) throw RunError(path_ + ": cannot be made; set TMPDIR");
  }
  ~Scratch() {
    unlink(journal().c_str());
    rmdir(path_.c_str());
  }
  std::string journal() const { return path_ + "/journal"; }

 private:
  std::string path_;
};

Settings settings_of(const Json& header, size_t steps) {
  Settings settings;
  settings.lr = header.at("lr").get<double>();
  settings.eps = header.at("eps").get<double>();
  settings.weight_decay = header.at("weight_decay").get<double>();
  settings.lr_schedule = header.at("lr_schedule").get<std::string>();
  settings.steps = static_cast<int64_t>(steps);
  return settings;
}

// The five steps, with the losses of the vectors in place of our own, which are close to them.
void check_run(const std::string& folder) {
  const std::string file = folder + "/run.json";
  const Json run = vectors(file), header = run.at("header"), steps = run.at("steps");
  const Bundle bundle = read_bundle(folder + "/" + run.at("bundle").get<std::string>());
  const Rows rows(folder + "/" + run.at("bundle").get<std::string>() + ".rows", bundle);
  const auto engine = open_engine(bundle, 1, true, {}, say);
  Model model(bundle, *engine);
  model.initialize();
  Recorder recorder(model);
  const Scratch scratch;
  new_journal(scratch.journal(), header);
  JournalWriter writer(scratch.journal(), read_journal(scratch.journal()));
  const Settings settings = settings_of(header, steps.size());
  const auto optimizer = make_mezo(settings);
  const auto seed = header.at("seed").get<int64_t>();
  Order order(rows.size(), header.at("batch_size").get<size_t>(), seed);
  double largest = 0;
  for (const Json& step : steps)
    for (double loss : step.at("losses").get<std::vector<double>>())
      largest = std::max(largest, loss);
  for (const Json& expected : steps) {
    const auto number = expected.at("step").get<int64_t>();
    const auto batches = batches_of(order.members(static_cast<uint64_t>(number)), rows, bundle);
    const auto losses = expected.at("losses").get<std::vector<double>>();
    size_t next = 0;
    const Step step = optimizer->step(recorder, {number, step_seed(seed, number), [&] {
      const double given = losses.at(next++), own = model.loss(batches);
      require(std::abs(own - given) <= LOSS_TOLERANCE * largest, file, "a loss");
      return given;
    }});
    writer.append(recorded(step, settings, recorder));
  }
  writer.close();
  require(read_file(scratch.journal()) == read_file(folder + "/run.journal"), file, "the journal");
  const auto parameters = array<float>(folder + "/run-parameters.f32");
  std::map<std::string, Values> ours;
  model.read([&](const std::string& name, const Values& values) { ours[name] = values; });
  size_t place = 0;
  for (const Json& variable : run.at("variables")) {
    const Values& values = ours.at(variable.at("name").get<std::string>());
    require(are_at(values, parameters, place), file, "a parameter");
    place += values.size();
  }
  say(file + ": losses are close, journal and parameters are equal");
}

}  // namespace

void check_conformance(const std::string& folder) {
  try {
    check_directions(folder);
    check_order(folder);
    const Json styles = vectors(folder + "/token_ids.json");
    for (const auto& item : styles.items()) check_rows(folder, item.key(), item.value());
    check_run(folder);
  } catch (const Json::exception& error) {
    throw InputError(folder + ": " + error.what() + "; make the vectors again");
  }
}

}  // namespace pocketllm
