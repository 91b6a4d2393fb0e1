#include "flags.h"

#include <cerrno>
#include <cstdlib>

#include "errors.h"
#include "host/json.h"
#include "host/text.h"

namespace pocketllm {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& value,
                         const std::string& expected) {
  throw InputError("--" + name + "=" + value + ": expected " + expected);
}

}  // namespace

Flags::Flags(const std::vector<Flag>& known, int count, char** arguments) {
  auto flag_of = [&](const std::string& name) -> const Flag* {
    for (const Flag& flag : known)
      if (name == flag.name) return &flag;
    return nullptr;
  };
  for (int i = 1; i < count; i++) {
    const std::string argument = arguments[i];
    const size_t dashes = begins_with(argument, "--") ? 2 : argument[0] == '-' ? 1 : 0;
    if (!dashes) throw InputError("unexpected argument '" + argument + "'; see --help");
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(dashes, equals == argument.npos ? argument.npos : equals - dashes);
    const Flag* flag = flag_of(name);
    const Flag* negated = begins_with(name, "no") ? flag_of(name.substr(2)) : nullptr;
    if (!flag && negated && negated->is_switch && equals == argument.npos)
      values_[negated->name] = "false";
    else if (!flag)
      throw InputError("unknown flag --" + name + "; see --help");
    else if (equals != argument.npos)
      values_[name] = argument.substr(equals + 1);
    else if (flag->is_switch)
      values_[name] = "true";
    else if (i + 1 < count)
      values_[name] = arguments[++i];
    else
      throw InputError("--" + name + ": a value is missing; see --help");
  }
}

std::string Flags::text(const std::string& name, const std::string& otherwise) const {
  const auto value = values_.find(name);
  return value == values_.end() ? otherwise : value->second;
}

std::string Flags::required(const std::string& name) const {
  const std::string value = text(name);
  if (value.empty()) throw InputError("--" + name + " is missing; see --help");
  return value;
}

int64_t Flags::integer(const std::string& name, int64_t otherwise, int64_t least,
                       int64_t most) const {
  if (!has(name)) return otherwise;
  const std::string value = text(name);
  char* end;
  errno = 0;
  const int64_t number = std::strtoll(value.c_str(), &end, 10);
  if (value.empty() || *end || errno || number < least || number > most)
    refuse(name, value, "a whole number from " + std::to_string(least) + " to " +
                            std::to_string(most));
  return number;
}

double Flags::number(const std::string& name, double otherwise, double least, double most) const {
  if (!has(name)) return otherwise;
  const std::string value = text(name);
  char* end;
  const double number = std::strtod(value.c_str(), &end);
  if (value.empty() || *end || !(number >= least && number <= most))
    refuse(name, value, "a number from " + json_number(least) + " to " + json_number(most));
  return number;
}

bool Flags::is_set(const std::string& name, bool otherwise) const {
  const std::string value = text(name, otherwise ? "true" : "false");
  if (value == "true" || value == "1" || value == "yes") return true;
  if (value == "false" || value == "0" || value == "no") return false;
  refuse(name, value, "true or false");
}

std::string help_of(const std::vector<Flag>& known) {
  std::string text;
  for (const Flag& flag : known) text += std::string("  --") + flag.name + "  " + flag.help + "\n";
  return text;
}

}  // namespace pocketllm
