// JSON as Python's json module reads and writes it: floats by the fewest digits that read back.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace pocketllm {

using Json = nlohmann::ordered_json;

// Returns a float as Python's repr, e.g. 0.001, 1e-05, 3.0.
std::string json_number(double value);
// On one line, non-ASCII escaped, as json.dumps(value) does.
std::string json_line(const Json& value);
// Indented by 1, UTF-8, with a newline, as the files of a run and a bundle are.
std::string json_file(const Json& value);
// Reads a file that holds one object; throws InputError that ends with `remedy`.
Json read_json(const std::string& path, const std::string& remedy);

}  // namespace pocketllm
