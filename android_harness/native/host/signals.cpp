#include "host/signals.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "errors.h"
#include "host/native_output.h"

namespace pocketllm::signals {
namespace {

volatile sig_atomic_t has_arrived = 0;
char activity[64] = "starting";  // a copy: what it was said with may be gone when a handler runs

// Only what a signal handler may call.
void say(const char* text) {
  if (write(native_output::terminal(), text, std::strlen(text)) < 0) return;
}

void stop(int) {
  if (has_arrived) {
    say("pocketllm-train: error: interrupted\n");
    _exit(130);
  }
  has_arrived = 1;
}

void die(int number) {
  say("pocketllm-train: error: ");
  say(activity);
  say(number == SIGABRT   ? ": the library aborted"
      : number == SIGBUS  ? ": the library died of SIGBUS"
      : number == SIGFPE  ? ": the library died of SIGFPE"
      : number == SIGILL  ? ": the library died of SIGILL"
                          : ": the library died of SIGSEGV");
  say("; the run's steps are kept: free some memory and space, and run the same command again\n");
  _exit(1);
}

void handle(int number, void (*function)(int)) {
  struct sigaction action {};
  action.sa_handler = function;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, nullptr);
}

}  // namespace

void install() {
  handle(SIGINT, stop);
  handle(SIGTERM, stop);
  for (int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) handle(number, die);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error, told in one line
}

void check() {
  if (has_arrived) throw Interrupted();
}

void clear() { has_arrived = 0; }

void set_activity(const std::string& what) {
  std::snprintf(activity, sizeof activity, "%s", what.c_str());
}

}  // namespace pocketllm::signals
