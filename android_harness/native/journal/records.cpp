#include "journal/records.h"

#include <algorithm>

#include "errors.h"
#include "host/crc32.h"
#include "host/little_endian.h"

namespace pocketllm {
namespace {

constexpr uint64_t SEARCH_BYTES = 256 << 20;

}  // namespace

std::string record_of(const Applied& step, uint32_t before) {
  if (step.losses.size() > MOST_LOSSES || step.passes.size() > MOST_PASSES)
    throw InputError("step " + std::to_string(step.step) + ": " +
                     std::to_string(step.losses.size()) + " losses and " +
                     std::to_string(step.passes.size()) +
                     " passes, a journal's record holds 1024 of each at most; take fewer a step");
  std::string data;
  append_number(data, step.step);
  append_number(data, static_cast<uint16_t>(step.losses.size()));
  append_number(data, static_cast<uint16_t>(step.passes.size()));
  append_number(data, step.lr);
  append_number(data, step.eps);
  append_number(data, step.decay);
  for (double loss : step.losses) append_number(data, loss);
  for (const Pass& pass : step.passes) {
    append_number(data, pass.seed);
    append_number(data, pass.scale);
  }
  append_number(data, crc32(data, before));
  return data;
}

size_t size_at(std::string_view data, size_t place) {
  const size_t losses = number_at<uint16_t>(data.data(), place + 4);
  const size_t passes = number_at<uint16_t>(data.data(), place + 6);
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
  const size_t losses = number_at<uint16_t>(data.data(), place + 4);
  const size_t passes = number_at<uint16_t>(data.data(), place + 6);
  step.lr = number_at<double>(data.data(), place + 8);
  step.eps = number_at<double>(data.data(), place + 16);
  step.decay = number_at<float>(data.data(), place + 24);
  for (size_t i = 0; i < losses; i++)
    step.losses.push_back(number_at<double>(data.data(), place + HEAD_BYTES + 8 * i));
  for (size_t i = 0; i < passes; i++) {
    const size_t at = place + HEAD_BYTES + 8 * (losses + i);
    step.passes.push_back({number_at<int32_t>(data.data(), at), number_at<float>(data.data(), at + 4)});
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
