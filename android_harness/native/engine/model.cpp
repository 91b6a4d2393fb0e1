#include "engine/model.h"

#include <cmath>
#include <limits>

#include "host/signals.h"

namespace pocketllm {

float float32(double value) {
  constexpr double largest = std::numeric_limits<float>::max();
  // Half a unit in the last place beyond the largest rounds to it: IEEE's rule, and NumPy's.
  if (std::abs(value) > largest * (1 + 0x1p-25)) return static_cast<float>(std::copysign(INFINITY, value));
  return std::abs(value) > largest ? static_cast<float>(std::copysign(largest, value))
                                   : static_cast<float>(value);
}

void Model::initialize() {
  theta_.clear();
  for (int slice = 0; slice < bundle_.slices; slice++) {
    signals::check();
    const std::string name = numbered("initialize", slice);
    engine_.run(name, {});
    engine_.release(name);
    engine_.release_pages();
  }
}

namespace {

std::vector<Input> inputs_of(const Batch& batch) {
  std::vector<Input> inputs;
  for (const auto& [input, values] : batch.inputs)
    inputs.push_back({input.c_str(), values.data(), 4 * values.size()});
  inputs.push_back({"weight", batch.weight.data(), 4 * batch.weight.size()});
  return inputs;
}

void add(std::vector<Input>& inputs, const std::map<std::string, Values>& variables) {
  for (const auto& [name, values] : variables)
    inputs.push_back({name.c_str(), values.data(), 4 * values.size()});
}

}  // namespace

const Model::Theta& Model::theta() {
  if (theta_.empty())
    read([this](const std::string& name, const Values& values) { theta_[name] = values; });
  return theta_;
}

Model::Theta Model::at_both_probes(int32_t seed, float eps) {
  const Theta start = theta();
  Theta both;
  for (const float scale : {eps, -eps}) {
    perturb(seed, scale);
    for (const auto& [name, values] : theta())
      both[name].insert(both[name].end(), values.begin(), values.end());
    write([&start](const std::string& name, Values& values) { values = start.at(name); });
  }
  return both;
}

Forward Model::forward(const Batch& batch, bool wants_logits) {
  const std::string name =
      accelerated_ ? forward_pure(batch.tokens) : forward_loss(batch.tokens);
  std::vector<Input> inputs = inputs_of(batch);
  if (accelerated_) add(inputs, theta());
  Engine& engine = accelerated_ ? *accelerated_ : engine_;
  engine.run(name, inputs);
  Forward result;
  result.loss = engine.number(name, "loss");
  result.weight_sum = engine.number(name, "weight_sum");
  if (wants_logits) {
    result.logits.resize(bundle_.signatures.at(name).outputs.at("logits").count());
    engine.read(name, "logits", result.logits.data(), 4 * result.logits.size());
  }
  return result;
}

double Model::loss(const std::vector<Batch>& batches) {
  double total = 0, weight = 0;
  for (const Batch& batch : batches) {
    const Forward result = forward(batch, false);
    total += double{result.loss} * double{result.weight_sum};
    weight += double{result.weight_sum};
  }
  return weight != 0 ? total / weight : std::nan("");
}

Losses Model::pair(const std::vector<Batch>& batches, int32_t seed, float eps) {
  double plus = 0, minus = 0, weight = 0;
  const Theta probes = accelerated_ ? at_both_probes(seed, eps) : Theta();
  Engine& engine = accelerated_ ? *accelerated_ : engine_;
  for (const Batch& batch : batches) {
    const std::string name =
        accelerated_ ? forward_pure_pair(batch.tokens) : forward_pair(batch.tokens);
    std::vector<Input> inputs = inputs_of(batch);
    if (accelerated_) {
      add(inputs, probes);
    } else {
      inputs.push_back({"seed", &seed, 4});
      inputs.push_back({"eps", &eps, 4});
    }
    engine.run(name, inputs);
    float losses[2];
    engine.read(name, "loss", losses, sizeof losses);
    const double weight_sum = double{engine.number(name, "weight_sum")};
    plus += double{losses[0]} * weight_sum;
    minus += double{losses[1]} * weight_sum;
    weight += weight_sum;
  }
  if (weight == 0) return {std::nan(""), std::nan("")};
  return {plus / weight, minus / weight};
}

void Model::perturb(int32_t seed, float scale, float decay, float probe) {
  theta_.clear();
  std::vector<Input> inputs = {{"seed", &seed, 4}, {"scale", &scale, 4}};
  if (decay != 0) {
    inputs.push_back({"decay", &decay, 4});
    inputs.push_back({"probe", &probe, 4});
  }
  engine_.run(decay != 0 ? "perturb_and_decay" : "perturb_and_update", inputs);
}

void Model::perturb_two(int32_t seed, float scale, int32_t seed_2, float scale_2) {
  if (!bundle_.has("perturb_two")) {  // an export of an earlier version
    perturb(seed, scale);
    perturb(seed_2, scale_2);
    return;
  }
  theta_.clear();
  engine_.run("perturb_two", {{"seed", &seed, 4},
                              {"scale", &scale, 4},
                              {"seed_2", &seed_2, 4},
                              {"scale_2", &scale_2, 4}});
}

void Model::read(const Take& take) {
  Values values;
  for (int slice = 0; slice < bundle_.slices; slice++) {
    const std::string name = numbered("read", slice);
    engine_.run(name, {});
    for (const auto& [variable, tensor] : bundle_.signatures.at(name).outputs) {
      values.resize(tensor.count());
      engine_.read(name, variable, values.data(), tensor.bytes());
      take(variable, values);
    }
    engine_.release(name);  // or all of them would be one more copy of the weights
  }
}

void Model::write(const Give& give) {
  theta_.clear();
  for (int slice = 0; slice < bundle_.slices; slice++) {
    const std::string name = numbered("write", slice);
    std::map<std::string, Values> values;
    std::vector<Input> inputs;
    for (const auto& [variable, tensor] : bundle_.signatures.at(name).inputs) {
      Values& filled = values[variable];
      filled.resize(tensor.count());
      give(variable, filled);
      inputs.push_back({variable.c_str(), filled.data(), tensor.bytes()});
    }
    engine_.run(name, inputs);
    engine_.release(name);
  }
}

}  // namespace pocketllm
