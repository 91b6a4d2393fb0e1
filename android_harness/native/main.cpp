// pocketllm-train: fine-tunes a bundle through libLiteRt.so alone. Every error becomes one line here.
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "command.h"
#include "errors.h"
#include "host/native_output.h"

namespace {

int complain(const std::string& text, int code) {
  std::string line;
  for (char c : text) line += c == '\n' || c == '\r' ? ' ' : c;
  std::fflush(stdout);
  dprintf(pocketllm::native_output::terminal(), "pocketllm-train: error: %s\n", line.c_str());
  return code;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return pocketllm::run_command(count, arguments);
  } catch (const pocketllm::InputError& error) {
    return complain(error.what(), 2);
  } catch (const pocketllm::RunError& error) {
    return complain(error.what(), 1);
  } catch (const pocketllm::Interrupted& error) {
    return complain(error.what(), 130);
  } catch (const std::bad_alloc&) {
    return complain("out of memory; free some, or take a smaller model", 1);
  } catch (const std::system_error& error) {
    return complain(std::string(error.what()) + "; check the path", 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
}
