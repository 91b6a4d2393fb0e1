#include "data/rows.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "data/row_checks.h"
#include "errors.h"
#include "host/files.h"
#include "host/json.h"
#include "host/little_endian.h"
#include "host/sha256.h"

namespace pocketllm {
namespace {

constexpr const char* REMEDY = "write it again with `pocketllm encode`";
constexpr uint64_t DIGEST = 32, MAGIC = 8;

}  // namespace

Rows::Rows(const std::string& file_path, const Bundle& bundle) : path(file_path) {
  check_file(path, "a file of rows", "give one that `pocketllm encode` wrote");
  try {
    File file = File::open_to_read(path);
    size_ = file.size();
    if (size_ < MAGIC + 4 + DIGEST) damaged("too short");
    void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
    if (mapped == MAP_FAILED) throw std::system_error(errno, std::generic_category());
    bytes_ = static_cast<const char*>(mapped);
  } catch (const std::system_error& error) {
    throw InputError(path + ": " + error.code().message() + "; " + REMEDY);
  }
  if (std::memcmp(bytes_, "PLLMENC", 7))
    throw InputError(path + ": no encoded rows; " + REMEDY);
  if (bytes_[7] != '1')
    throw InputError(path + ": encoded rows of version " + bytes_[7] +
                     ", this program reads version 1; " + REMEDY);
  end_ = size_ - DIGEST;
  check_sum();
  read_header(bundle);
  places_.reserve(static_cast<size_t>(std::min(count_, end_ / 16)));
  uint64_t place = begin_;
  while (place < end_) {
    places_.push_back(place);
    const std::string problem = problem_of(parse(place), bundle);
    if (!problem.empty()) damaged("example " + std::to_string(places_.size()) + " has " + problem);
  }
  if (places_.size() != count_ || places_.empty())
    damaged(std::to_string(places_.size()) + " examples, expected " + std::to_string(count_));
}

Rows::~Rows() {
  if (bytes_) munmap(const_cast<char*>(bytes_), size_);
}

void Rows::damaged(const std::string& what) const {
  throw InputError(path + ": damaged (" + what + "); " + REMEDY);
}

void Rows::check_sum() const {
  Sha256 sum;
  sum.add(bytes_, end_);
  const auto digest = sum.digest();
  if (std::memcmp(digest.data(), bytes_ + end_, DIGEST)) damaged("its sha256 is another");
}

void Rows::read_header(const Bundle& bundle) {
  const uint64_t length = word(MAGIC);
  if (length % 4) damaged("its header has no whole number of words");
  begin_ = MAGIC + 4 + length;
  const std::string text(at(MAGIC + 4, length), length);
  try {
    const Json header = Json::parse(text);
    const auto belongs_to = header.at("bundle_checksum").get<std::string>();
    if (belongs_to != bundle.checksum)
      throw InputError(path + ": the rows are for bundle " + belongs_to.substr(0, 12) +
                       "…, this one is " + bundle.checksum.substr(0, 12) +
                       "… (checksums); encode the data with this bundle");
    data = header.at("data").get<std::string>();
    data_sha256 = header.at("data_sha256").get<std::string>();
    if (!header.at("split").is_null()) split = header["split"].get<std::string>();
    is_training = header.at("training").get<bool>();
    count_ = header.at("examples").get<uint64_t>();
    truncated_ = header.at("truncated").get<uint64_t>();
    targets = header.at("targets").get<std::vector<std::string>>();
    metrics = header.at("metrics").get<std::vector<std::string>>();
    answer_scores = header.at("answer_scores").get<std::vector<std::string>>();
  } catch (const Json::exception& error) {
    damaged(error.what());
  }
  has_loss_mask_ = bundle.scoring == "tokens";
  if (targets != bundle.targets())
    damaged("its targets are " + Json(targets).dump() + ", expected " +
            Json(bundle.targets()).dump());
}

const char* Rows::at(uint64_t place, uint64_t bytes) const {
  if (place > end_ || bytes > end_ - place) damaged("an example is cut short");
  return bytes_ + place;
}

uint32_t Rows::word(uint64_t place) const {
  return number_at<uint32_t>(at(place, 4));
}

Sequence Rows::sequence(uint64_t& place) const {
  Sequence sequence;
  sequence.tokens = static_cast<int>(word(place));
  if (sequence.tokens < 1) damaged("a sequence without tokens");
  const uint64_t row = 4 * static_cast<uint64_t>(sequence.tokens);
  auto next = [&](uint64_t bytes) {
    auto values = reinterpret_cast<const int32_t*>(at(place, bytes));
    place += bytes;
    return values;
  };
  place += 4;
  sequence.targets = next(4 * targets.size());
  sequence.input_ids = next(row);
  if (has_loss_mask_) sequence.loss_mask = next(row);
  return sequence;
}

Example Rows::parse(uint64_t& place) const {
  Example example;
  const uint64_t sequences = word(place), golds = word(place + 4);
  example.group = word(place + 8);
  example.options = word(place + 12);
  place += 16;
  at(place, 4 * golds);
  for (uint64_t i = 0; i < golds; i++) example.golds.push_back(word(place + 4 * i));
  place += 4 * golds;
  const uint64_t scores = 8ull * answer_scores.size() * example.options;
  example.scores = at(place, scores);
  place += scores;
  if (sequences < 1 || sequences > (end_ - place) / 4) damaged("an example without sequences");
  example.sequences.reserve(sequences);
  for (uint64_t i = 0; i < sequences; i++) example.sequences.push_back(sequence(place));
  return example;
}

Example Rows::example(size_t index) const {
  uint64_t place = places_.at(index);
  return parse(place);
}

double Rows::score(const Example& example, size_t name, size_t option) const {
  if (option >= example.options) return 0;
  return number_at<double>(example.scores, 8 * (name * example.options + option));
}

std::string Rows::describe() const {
  std::string line = path + ": " + std::to_string(size()) + " examples of " + data;
  if (truncated_) line += ", " + std::to_string(truncated_) + " truncated to fit";
  return line;
}

uint64_t Rows::learnt_tokens() const {
  uint64_t count = 0;
  for (size_t i = 0; i < size(); i++)
    for (const Sequence& sequence : example(i).sequences)
      if (sequence.loss_mask)
        for (int t = 0; t < sequence.tokens; t++) count += sequence.loss_mask[t] != 0;
  return count;
}

}  // namespace pocketllm
