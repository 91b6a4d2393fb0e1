#include "journal/lines.h"

#include <fcntl.h>

#include <cmath>

#include "errors.h"
#include "host/crc32.h"
#include "host/files.h"
#include "host/text.h"
#include "journal/flushed.h"

namespace pocketllm {
namespace {

constexpr std::string_view CHECKSUM = ", \"checksum\": ";

struct Line {
  std::string_view text;
  bool is_flushed;
};

// The lines of a file without a torn end, and whether each is known to be on the disk.
std::vector<Line> whole_lines(const std::string& data, const std::string& folder,
                              const std::string& name) {
  std::vector<Line> lines;
  const uint64_t flushed = flushed_bytes(folder, name);
  const std::string_view view(data);
  for (size_t start = 0, end; (end = view.find('\n', start)) != view.npos; start = end + 1)
    lines.push_back({view.substr(start, end - start), end + 1 <= flushed});
  return lines;
}

std::optional<Json> object_of(std::string_view line) {
  Json value = Json::parse(line.begin(), line.end(), nullptr, false);
  if (!value.is_object()) return {};
  return value;
}

bool is_step_line(std::string_view line) {
  const auto value = object_of(line);
  if (!value || !value->value("step", Json()).is_number_integer()) return false;
  const Json seed = value->value("seed", Json(0));
  if (!seed.is_number_integer()) return false;
  const auto number = seed.get<int64_t>();
  return number >= INT32_MIN && number <= INT32_MAX;
}

// The evaluation of a line, none of a damaged one.
std::optional<Evaluated> evaluation_of(std::string_view line) {
  const size_t mark = line.rfind(CHECKSUM);
  if (mark != line.npos && line.back() == '}') {
    const std::string digits(line.substr(mark + CHECKSUM.size(),
                                         line.size() - mark - CHECKSUM.size() - 1));
    const uint32_t sum = crc32(std::string_view("}"), crc32(line.substr(0, mark)));
    if (is_digits(digits) && std::to_string(sum) != digits) return {};
  }
  const auto value = object_of(line);
  if (!value) return {};
  try {
    Evaluated record;
    record.step = value->at("step").get<int64_t>();
    if (value->contains("accuracy")) record.accuracy = value->at("accuracy").get<double>();
    record.loss = value->at("loss").get<double>();
    record.examples = value->at("examples").get<int64_t>();
    record.data_sha256 = value->at("data_sha256").get<std::string>();
    const Json metrics = value->value("metrics", Json::object());
    for (const auto& item : metrics.items())
      record.metrics.emplace_back(item.key(), item.value().get<double>());
    if (value->contains("tokens")) record.tokens = value->at("tokens").get<int64_t>();
    return record;
  } catch (const Json::exception&) {
    return {};
  }
}

void cut(const std::string& path, uint64_t size) {
  File file = File::open(path, O_RDWR);
  if (size < file.size()) file.truncate(size);
}

}  // namespace

Json Evaluated::values() const {
  Json values = {{"step", step}};
  if (accuracy) values["accuracy"] = *accuracy;
  values["loss"] = loss;
  values["examples"] = examples;
  values["data_sha256"] = data_sha256;
  values["metrics"] = Json::object();
  for (const auto& [name, value] : metrics) values["metrics"][name] = value;
  if (tokens) values["tokens"] = *tokens;
  return values;
}

void append_line(const std::string& path, const std::string& line) {
  try {
    File file = File::open(path, O_WRONLY | O_CREAT | O_APPEND);
    const uint64_t size = file.size();
    try {
      file.write(line + "\n");
    } catch (const std::system_error&) {
      file.truncate(size);
      throw;
    }
  } catch (const std::system_error& error) {
    refuse_write(path, error,
                 "the steps before are kept, free some space and run the same command again: it "
                 "goes on, or says why it cannot");
  }
}

void append_evaluation(const std::string& folder, const Evaluated& record) {
  std::string text = json_line(record.values());
  const uint32_t sum = crc32(text);
  text.pop_back();
  append_line(folder + "/" + EVALUATIONS,
              text + std::string(CHECKSUM) + std::to_string(sum) + "}");
}

std::map<int64_t, Evaluated> read_evaluations(const std::string& folder,
                                              const std::string& data_sha256) {
  const std::string path = folder + "/" + EVALUATIONS, data = read_file(path).value_or("");
  std::vector<Evaluated> records;
  for (const Line& line : whole_lines(data, folder, EVALUATIONS)) {
    auto record = evaluation_of(line.text);
    if (!record && !line.is_flushed) break;
    if (!record)
      throw InputError(path + ": line " + std::to_string(records.size() + 1) +
                       " is damaged; take it out, and a journalled run that goes on evaluates that "
                       "step again");
    records.push_back(*record);
  }
  std::map<int64_t, Evaluated> by_step;
  for (const Evaluated& record : records)
    if (record.data_sha256 == (data_sha256.empty() ? records.back().data_sha256 : data_sha256))
      by_step[record.step] = record;
  return by_step;
}

const Evaluated* best_evaluation(const std::map<int64_t, Evaluated>& evaluations) {
  const Evaluated* best = nullptr;
  for (const auto& [step, record] : evaluations) {
    const double accuracy = record.accuracy.value_or(0);
    const double highest = best ? best->accuracy.value_or(0) : 0;
    if (!best || accuracy > highest || (accuracy == highest && record.loss < best->loss))
      best = &record;
  }
  return best;
}

int64_t best_step(const std::string& folder, int64_t last) {
  auto evaluations = read_evaluations(folder, "");
  evaluations.erase(evaluations.upper_bound(last), evaluations.end());
  const Evaluated* best = best_evaluation(evaluations);
  return best ? best->step : last;
}

void cut_torn_lines(const std::string& folder) {
  for (const std::string name : {METRICS, EVALUATIONS}) {
    const std::string path = folder + "/" + name;
    const auto data = read_file(path);
    if (!data) continue;
    uint64_t size = 0;
    for (const Line& line : whole_lines(*data, folder, name)) {
      const bool is_sound =
          name == METRICS ? is_step_line(line.text) : evaluation_of(line.text).has_value();
      if (!is_sound && !line.is_flushed) break;
      size += line.text.size() + 1;
    }
    cut(path, size);
  }
}

void cut_lines_beyond(const std::string& folder, uint64_t last) {
  const std::string path = folder + "/" + METRICS;
  const auto data = read_file(path);
  if (!data) return;
  auto lines = whole_lines(*data, folder, METRICS);
  uint64_t size = data->size();
  while (!lines.empty()) {
    const auto value = object_of(lines.back().text);
    const Json step = value ? value->value("step", Json()) : Json();
    // One that cannot be read is beyond any.
    if (step.is_number_integer() && step.get<int64_t>() <= static_cast<int64_t>(last)) break;
    size = static_cast<uint64_t>(lines.back().text.data() - data->data());
    lines.pop_back();
  }
  cut(path, size);
}

double seconds_so_far(const std::string& folder) {
  const std::string data = read_file(folder + "/" + METRICS).value_or("");
  double total = 0;
  for (const Line& line : whole_lines(data, folder, METRICS)) {
    const auto value = object_of(line.text);
    if (!value) continue;
    const Json seconds = value->value("seconds", Json());
    if (seconds.is_number() && seconds.get<double>() >= 0 && std::isfinite(seconds.get<double>()))
      total += seconds.get<double>();
  }
  return total;
}

}  // namespace pocketllm
