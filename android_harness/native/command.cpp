#include "command.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>

#include "bundle/bundle.h"
#include "conformance.h"
#include "data/rows.h"
#include "engine/accelerator.h"
#include "engine/model.h"
#include "engine/noise_check.h"
#include "engine/packed_weights.h"
#include "errors.h"
#include "flags.h"
#include "host/clock.h"
#include "host/files.h"
#include "host/lock.h"
#include "host/machine.h"
#include "host/native_output.h"
#include "host/pauses.h"
#include "host/signals.h"
#include "host/text.h"
#include "journal/lines.h"
#include "run/loop.h"
#include "run/snapshots.h"
#include "settings_flags.h"

namespace pocketllm {
namespace {

constexpr double SHOWN_SECONDS = 5;  // between two lines of steps
constexpr int MOST_THREADS = 256;

const std::vector<Flag> FLAGS = {
    {"bundle", "bundle folder, from `pocketllm export`"},
    {"encoded", "rows to train on, from `pocketllm encode`"},
    {"dev", "rows to choose the best step by, likewise"},
    {"run", "run directory"},
    {"steps", "length of the run"},
    {"batch_size", "examples a step (8)"},
    {"lr", "learning rate; none: that of the run that goes on"},
    {"eps", "size of the probe, in units of z; none: the bundle's; auto: as the run began"},
    {"seed", "random seed of batches and directions (0)"},
    {"weight_decay", "decoupled weight decay (0)"},
    {"lr_schedule", "constant, linear or cosine: learning rate over the steps (constant)"},
    {"optimizer", "mezo or fzoo (mezo)"},
    {"normalize", "divide the learning rate by the size of the last projected gradients; mezo",
     true},
    {"directions", "directions a step (8); fzoo"},
    {"sides", "sides of θ on which a direction's loss is taken; none: 2 on integers, else 1; fzoo"},
    {"pairs", "evaluate both probes of a step in one forward pass; none: where the bundle can", true},
    {"eval_every", "steps between evaluations of --dev; 0: start and end (0)"},
    {"recovery_seconds", "longest time that going on after a kill may take (120)"},
    {"max_temp", "wait while the battery is hotter, in degrees Celsius"},
    {"min_battery", "wait while the battery holds less, in percent (0)"},
    {"only_charging", "wait while no charger is there", true},
    {"accelerator", "cpu, or gpu: forward passes there, of a bundle of `export --pure` (cpu)"},
    {"threads", "kernel threads; 0 takes all cores (0)"},
    {"packed_weights", "keep a frozen base, packed for the kernels, in a file beside it (true)",
     true},
    {"json", "also write the result to this file, as one JSON object"},
    {"conformance", "compare this program with the vectors in this folder, and do nothing else"},
    {"version", "print the versions", true},
    {"help", "print this", true},
};

constexpr const char* ABOUT = R"(usage: pocketllm-train [flags]

Fine-tunes a bundle without Python: what `pocketllm train` does with MeZO and fzoo, on rows that
`pocketllm encode` wrote. Journal, lines and snapshots are the same, so either goes on with a run of
the other. Ctrl-C and SIGTERM end it after the step under way; the same command goes on.

example:
  pocketllm encode --bundle=micro --data=train.tsv --out=train.rows
  pocketllm-train --bundle=micro --encoded=train.rows --run=run --steps=400 --lr=3e-4

flags:
)";

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

RunConfig config_of(const Flags& flags, const Bundle& bundle, const Rows& data) {
  RunConfig config;
  config.settings = settings_of(flags, bundle, begun(flags.required("run")));
  const int64_t batch_size = flags.integer("batch_size", 8, 1, 1 << 20);
  config.batch_size = std::min(static_cast<size_t>(batch_size), data.size());
  if (config.batch_size < static_cast<size_t>(batch_size))
    say("--batch_size=" + std::to_string(batch_size) + ": every step sees all " +
        std::to_string(config.batch_size) + " examples");
  config.seed = flags.integer("seed", 0, 0, UINT32_MAX);
  config.bundle_checksum = bundle.checksum;
  config.train_sha256 = data.data_sha256;
  config.split = data.split;
  config.noise = bundle.noise;
  return config;
}

std::unique_ptr<Rows> dev_rows(const Flags& flags, const Bundle& bundle) {
  if (!flags.has("dev")) return nullptr;
  auto rows = std::make_unique<Rows>(flags.required("dev"), bundle);
  if (rows->is_training && bundle.scoring == "gold")
    throw InputError(rows->path + ": holds options that are trained on alone, and cannot be "
                     "evaluated; encode it without --training");
  return rows;
}

// The forward passes that a run calls.
std::vector<std::string> forwards_of(const Bundle& bundle, bool pairs, bool evaluates, bool on_gpu) {
  std::vector<std::string> calls;
  for (int tokens : bundle.lengths) {
    if (!pairs || evaluates) calls.push_back(on_gpu ? forward_pure(tokens) : forward_loss(tokens));
    if (pairs) calls.push_back(on_gpu ? forward_pure_pair(tokens) : forward_pair(tokens));
  }
  return calls;
}

// What a run calls besides.
std::vector<std::string> passes_of(const Bundle& bundle, const Settings& settings) {
  std::vector<std::string> calls = {"perturb_and_update"};
  for (int slice = 0; slice < bundle.slices; slice++)
    for (const char* stem : {"initialize", "read", "write"}) calls.push_back(numbered(stem, slice));
  if (settings.weight_decay != 0) calls.push_back("perturb_and_decay");
  if (settings.optimizer == "fzoo" && bundle.has("perturb_two")) calls.push_back("perturb_two");
  return calls;
}

Limits limits_of(const Flags& flags) {
  Limits limits;
  if (flags.has("max_temp")) limits.max_temp = flags.number("max_temp", 0, -1e3, 1e3);
  limits.min_battery = static_cast<int>(flags.integer("min_battery", 0, 0, 100));
  limits.only_charging = flags.is_set("only_charging");
  return limits;
}

Json result_of(const Trained& trained, const Training& training) {
  Json best;
  if (training.dev) {
    const auto evaluations = read_evaluations(training.folder, training.dev->data_sha256);
    if (const Evaluated* evaluated = best_evaluation(evaluations)) best = evaluated->values();
  }
  return {{"run", training.folder},
          {"last_step", trained.last_step},
          {"stopped", trained.is_stopped},
          {"best_step", trained.best_step},
          {"best_dev", best},
          {"lr", training.config.settings.lr},
          {"step_seconds", trained.step_seconds},
          {"peak_anon_bytes", trained.peak.anon_bytes},
          {"peak_rss_bytes", trained.peak.rss_bytes},
          {"examples", training.data.size()},
          {"dev_examples", training.dev ? training.dev->size() : 0},
          {"engine", training.engine},
          {"pairs", training.pairs}};
}

void print(const Trained& trained, const Training& training) {
  say(training.folder + ": " + std::to_string(trained.last_step) + " steps, best step " +
      std::to_string(trained.best_step) +
      formatted(", %.3f s a step, peak memory %.3f GB anonymous, %.3f GB all pages",
                trained.step_seconds, static_cast<double>(trained.peak.anon_bytes) / 1e9,
                static_cast<double>(trained.peak.rss_bytes) / 1e9));
  if (trained.is_stopped)
    say(training.folder + ": stopped after step " + std::to_string(trained.last_step) + " of " +
        std::to_string(training.config.settings.steps) +
        "; the same command goes on from there");
}

// Says steps, at most one every few seconds, and the last.
std::function<void(const Step&)> shown(int64_t last) {
  return [last, next = 0.0](const Step& step) mutable {
    if (now() < next && step.number != last) return;
    next = now() + SHOWN_SECONDS;
    say("step " + std::to_string(step.number) + "/" + std::to_string(last) + ": " +
        step.description);
  };
}

// Names that end in .json and are a bundle's or a run's own.
const std::set<std::string> RESERVED = {"bundle.json",         "config.json",    "measured.json",
                                        "packed-weights.json", "source.json",    "tokenizer.json",
                                        "simulation.json",     "warnings.json"};

bool is_inside(const std::string& path, const std::string& folder) {
  std::filesystem::path at = std::filesystem::absolute(path).lexically_normal();
  for (; at.has_relative_path(); at = at.parent_path())
    if (is_same_path(at.parent_path(), folder)) return true;
  return false;
}

// Whether a result may have this path in such a folder.
bool is_free_in(const std::string& path, const std::string& folder) {
  const std::filesystem::path file(path);
  return is_same_path(folder_of(path), folder) && file.extension() == ".json" &&
         !RESERVED.count(file.filename());
}

// Where the result is to be written; empty for nowhere. Throws InputError where it cannot be.
std::string result_path(const Flags& flags) {
  if (!flags.has("json")) return "";
  const std::string path = flags.required("json"), said = "--json=" + path + ": --";
  for (const char* name : {"bundle", "run", "encoded", "dev"})
    if (flags.has(name) && is_same_path(path, flags.required(name)))
      throw InputError(said + name + " is there too; choose another path");
  for (const char* name : {"bundle", "run"})
    if (is_inside(path, flags.required(name)) && !is_free_in(path, flags.required(name)))
      throw InputError(said + name + " keeps its own files there; choose another path, outside it");
  check_writable(path);
  return path;
}

int run_training(const Flags& flags) {
  const std::string folder = flags.required("run");
  flags.required("steps");
  const std::string result = result_path(flags);
  const Bundle bundle = read_bundle(flags.required("bundle"));
  const Rows data(flags.required("encoded"), bundle);
  const auto dev = dev_rows(flags, bundle);
  const RunConfig config = config_of(flags, bundle, data);
  const bool pairs = takes_pairs(flags, bundle, config.settings);
  const int64_t eval_every = flags.integer("eval_every", 0, 0, INT64_MAX);
  const double recovery = flags.number("recovery_seconds", RECOVERY_SECONDS, 0, 1e300);
  const auto wanted = static_cast<int>(flags.integer("threads", 0, 0, MOST_THREADS));
  const bool on_gpu = takes_gpu(flags, bundle);
  // Only forward passes read them.
  const bool packed_in_file = flags.is_set("packed_weights", true) && !on_gpu;
  Pauses pauses(limits_of(flags));
  say(data.describe());
  if (dev) say(dev->describe());
  // A foreign folder is refused before gigabytes are read.
  if (const auto journal = steps_so_far(folder, config)) {
    const std::string torn = describe_torn_end(folder, *journal);
    if (!torn.empty()) say(torn);
  }
  const int threads = wanted ? wanted : cores();
  auto calls = passes_of(bundle, config.settings);
  const auto forwards = forwards_of(bundle, pairs, dev != nullptr, on_gpu);
  const Accelerated gpu = on_gpu ? open_on_gpu(bundle, threads, forwards) : Accelerated();
  if (!on_gpu) calls.insert(calls.end(), forwards.begin(), forwards.end());
  const auto engine = open_engine(bundle, threads, packed_in_file, calls, say);
  Model model(bundle, *engine, gpu.engine.get());
  check_noise(model);
  model.initialize();
  const std::string description =
      describe_engine(bundle, threads, packed_in_file, gpu.description);
  say("engine: " + description);
  const RunLock lock(folder);
  const Training training{model,    data,     dev.get(), folder, description,
                          config,   eval_every, recovery, pauses, say,
                          shown(config.settings.steps), pairs};
  const Trained trained = train(training);
  print(trained, training);
  if (!result.empty()) write_bytes(result, json_file(result_of(trained, training)));
  return 0;
}

}  // namespace

int run_command(int count, char** arguments) {
  const Flags flags(FLAGS, count, arguments);
  if (flags.is_set("help")) {
    std::printf("%s%s", ABOUT, help_of(FLAGS).c_str());
    return 0;
  }
  if (flags.is_set("version")) {
    std::printf("pocketllm-train %s\nformats: bundle %d, journal 3, encoded rows 1\n"
                "engines: litert (ai-edge-litert %s)\n",
                POCKETLLM_VERSION, FORMAT_VERSION, library_version().c_str());
    return 0;
  }
  native_output::divert();
  signals::install();
  if (flags.has("conformance")) {
    check_conformance(flags.required("conformance"));
    return 0;
  }
  return run_training(flags);
}

}  // namespace pocketllm
