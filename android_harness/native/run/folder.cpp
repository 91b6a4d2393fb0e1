#include "run/folder.h"

#include <sys/stat.h>

#include <set>
#include <vector>

#include "errors.h"
#include "host/files.h"
#include "host/text.h"
#include "journal/flushed.h"
#include "journal/lines.h"
#include "journal/writer.h"

namespace pocketllm {
namespace {

const std::string CONFIG = "/config.json";
constexpr const char* DAMAGED = "restore the file from a copy, or choose another --run";

// Whether something stands in a folder that no run leaves before its config.json.
bool holds_something(const std::string& folder) {
  struct stat status;
  if (stat(folder.c_str(), &status)) return false;
  if (!S_ISDIR(status.st_mode)) return true;
  for (const std::string& name : names_in(folder)) {
    const bool is_partial = name[0] == '.' && name.find(".partial-") != name.npos;
    if (name != "." && name != ".." && name != ".lock" && name != "measured.json" && !is_partial)
      return true;
  }
  return false;
}

void check_config(const std::string& path, const Json& stored, const RunConfig& config) {
  const Json description = config.described();
  const Json optimizer = stored.value("optimizer", Json());
  if (optimizer != description["optimizer"])
    throw InputError(path + ": holds a run with --optimizer=" +
                     (optimizer.is_string() ? optimizer.get<std::string>() : optimizer.dump()) +
                     ", this one is " + config.settings.optimizer + "; choose another --run");
  const Json bundle = stored.value("bundle_checksum", Json());
  if (bundle != config.bundle_checksum)
    throw InputError(path + ": the run belongs to bundle " + bundle.dump().substr(1, 12) +
                     "…, this one is " + config.bundle_checksum.substr(0, 12) +
                     "… (checksums, see `pocketllm inspect`); give the bundle that it was trained "
                     "from, or another --run");
  std::set<std::string> names, differing;
  for (const auto& item : stored.items()) names.insert(item.key());
  for (const auto& item : description.items()) names.insert(item.key());
  for (const std::string& name : names)
    if (stored.value(name, Json()) != description.value(name, Json()) &&
        !(name == "steps" && config.settings.lr_schedule == "constant"))
      differing.insert(name);
  if (differing == std::set<std::string>{"steps"})
    throw InputError(path + ": the run was started with --steps=" +
                     stored.value("steps", Json()).dump() + ", found --steps=" +
                     std::to_string(config.settings.steps) + "; --lr_schedule=" +
                     config.settings.lr_schedule +
                     " falls over all steps: keep their number, or choose another --run");
  std::vector<std::string> changes;
  for (const std::string& name : differing)
    changes.push_back(name + " " + json_line(stored.value(name, Json())) + " -> " +
                      json_line(description.value(name, Json())));
  if (!changes.empty())
    throw InputError(path + ": holds a run with another config (" + joined(changes, ", ") +
                     "); choose another --run");
}

}  // namespace

Json RunConfig::described() const {
  Json values = settings.described();
  values["bundle_checksum"] = bundle_checksum;
  values["train_sha256"] = train_sha256;
  values["batch_size"] = batch_size;
  values["seed"] = seed;
  if (!split.empty()) values["split"] = split;
  values["noise"] = noise;
  return values;
}

Json RunConfig::header() const {
  Json values = described();
  values.erase("steps");
  values["format_version"] = FORMAT_VERSION;
  return values;
}

std::optional<Json> begun(const std::string& folder) {
  if (!exists(folder + CONFIG)) return {};
  return read_json(folder + CONFIG, DAMAGED);
}

std::optional<Journal> steps_so_far(const std::string& folder, const RunConfig& config) {
  const std::string path = folder + CONFIG, journal_path = folder + "/" + JOURNAL;
  const auto stored = begun(folder);
  if (!stored) {
    if (holds_something(folder))
      throw InputError(folder + ": exists and holds no run; choose another --run");
    return {};
  }
  check_config(path, *stored, config);
  if (!exists(journal_path)) {
    if (exists(folder + "/" + METRICS))
      throw InputError(folder + ": a run without its journal, which holds its steps; the file was "
                       "removed: restore it, or choose another --run");
    return {};
  }
  Journal journal = read_journal(journal_path);
  const Json expected = config.header();
  std::vector<std::string> differing;
  for (const auto& item : expected.items())
    if (journal.header.value(item.key(), Json()) != item.value()) differing.push_back(item.key());
  if (!differing.empty())
    throw InputError(journal_path + ": belongs to another run than config.json beside it (" +
                     joined(differing, ", ") + "); choose another --run");
  if (journal.count() > static_cast<size_t>(config.settings.steps))
    throw InputError(folder + ": holds " + std::to_string(journal.count()) +
                     " steps, more than --steps=" + std::to_string(config.settings.steps) +
                     "; raise --steps, or look at an earlier step with `pocketllm eval --at_step`");
  return journal;
}

Journal start_or_continue(const std::string& folder, const RunConfig& config) {
  auto journal = steps_so_far(folder, config);
  cut_torn_lines(folder);
  sweep_run(folder);
  replace_bytes(folder + CONFIG, json_file(config.described()));
  cut_lines_beyond(folder, journal ? journal->count() : 0);
  if (journal) return std::move(*journal);
  new_journal(folder + "/" + JOURNAL, config.header());
  return read_journal(folder + "/" + JOURNAL);
}

std::string describe_torn_end(const std::string& folder, const Journal& journal) {
  if (!journal.torn_bytes) return "";
  const std::string path = folder + "/" + JOURNAL, count = std::to_string(journal.count());
  if (!journal.lost_steps)
    return path + ": the last " + std::to_string(journal.torn_bytes) +
           " bytes are of a step that was not finished; the run holds " + count + " steps";
  return path + ": step " + std::to_string(journal.count() + 1) +
         " was lost before it reached the disk, as in a power failure: the last " +
         std::to_string(journal.torn_bytes) + " bytes (" + std::to_string(journal.lost_steps) +
         " steps or more) are left out and done again; the run holds " + count + " steps";
}

}  // namespace pocketllm
