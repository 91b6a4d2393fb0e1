// Flags in the form of `pocketllm`: --name=value, --name value, --name and --noname of a switch.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pocketllm {

struct Flag {
  const char *name, *help;
  bool is_switch = false;
};

class Flags {
 public:
  // Throws InputError for a flag that is unknown, or an argument that is none.
  Flags(const std::vector<Flag>& known, int count, char** arguments);

  bool has(const std::string& name) const { return values_.count(name); }
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  std::string required(const std::string& name) const;
  int64_t integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most) const;
  double number(const std::string& name, double otherwise, double least, double most) const;
  bool is_set(const std::string& name, bool otherwise = false) const;

 private:
  std::map<std::string, std::string> values_;
};

std::string help_of(const std::vector<Flag>& known);

}  // namespace pocketllm
