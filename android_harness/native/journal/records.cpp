#include "journal/records.h"

#include <algorithm>
#include <cstring>

#include "errors.h"
#include "host/crc32.h"

namespace pocketllm {
namespace {

constexpr uint64_t SEARCH_BYTES = 256 << 20;

template <typename Number>
void append(std::string& data, Number value) {  // this processor is little-endian, as the file
  data.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename Number>
Number number_at(std::string_view data, size_t place) {
  Number value;
  std::memcpy(&value, data.data() + place, sizeof value);
  return value;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

}  // namespace

uint32_t word_at(std::string_view data, size_t place) { return number_at<uint32_t>(data, place); }

void append_word(std::string& data, uint32_t value) { append(data, value); }

std::string record_of(const Applied& step, uint32_t before) {
  if (step.losses.size() > MOST_LOSSES || step.passes.size() > MOST_PASSES)
    throw InputError("step " + std::to_string(step.step) + ": " +
                     std::to_string(step.losses.size()) + " losses and " +
                     std::to_string(step.passes.size()) +
                     " passes, a journal's record holds 1024 of each at most; take fewer a step");
  std::string data;
  append(data, step.step);
  append(data, static_cast<uint16_t>(step.losses.size()));
  append(data, static_cast<uint16_t>(step.passes.size()));
  append(data, step.lr);
  append(data, step.eps);
  append(data, step.decay);
  for (double loss : step.losses) append(data, loss);
  for (const Pass& pass : step.passes) {
    append(data, pass.seed);
    append(data, pass.scale);
  }
  append(data, crc32(data, before));
  return data;
}

size_t size_at(std::string_view data, size_t place) {
  const size_t losses = number_at<uint16_t>(data, place + 4);
  const size_t passes = number_at<uint16_t>(data, place + 6);
  if (losses > MOST_LOSSES || passes > MOST_PASSES) return 0;
  return HEAD_BYTES + 8 * losses + 8 * passes + 4;
}

size_t sound_bytes(std::string_view data, size_t place, uint32_t before) {
  if (data.size() < place + SHORTEST) return 0;
  const size_t size = size_at(data, place);
  if (!size || data.size() - place < size) return 0;
  const uint32_t sum = crc32(data.substr(place, size - 4), before);
  return sum == word_at(data, place + size - 4) ? size : 0;
}

Applied decoded(std::string_view data, size_t place) {
  Applied step;
  step.step = word_at(data, place);
  const size_t losses = number_at<uint16_t>(data, place + 4);
  const size_t passes = number_at<uint16_t>(data, place + 6);
  step.lr = number_at<double>(data, place + 8);
  step.eps = number_at<double>(data, place + 16);
  step.decay = number_at<float>(data, place + 24);
  for (size_t i = 0; i < losses; i++)
    step.losses.push_back(number_at<double>(data, place + HEAD_BYTES + 8 * i));
  for (size_t i = 0; i < passes; i++) {
    const size_t at = place + HEAD_BYTES + 8 * (losses + i);
    step.passes.push_back({number_at<int32_t>(data, at), number_at<float>(data, at + 4)});
  }
  return step;
}

uint64_t last_step_behind(std::string_view data, size_t place) {
  uint64_t last = 0, left = SEARCH_BYTES;
  for (size_t start = place + 1; start + SHORTEST <= data.size(); start++) {
    const uint64_t step = word_at(data, start);
    const size_t size = size_at(data, start);
    if (step == 0 || step > data.size() / SHORTEST || size == 0) continue;
    if (sound_bytes(data, start, word_at(data, start - 4))) last = std::max(last, step);
    if (size > data.size() - start) continue;
    if (size > left) return UINT64_MAX;
    left -= size;
  }
  return last;
}

}  // namespace pocketllm
