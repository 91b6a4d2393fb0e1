// SIGINT (Ctrl-C) and SIGTERM end a run after the step under way, a second one at once. A signal of
// a library that dies says so in one line.
#pragma once
#include <string>

namespace pocketllm::signals {

void install();
// Throws Interrupted if a signal arrived; called between stages of long work.
void check();
// Forgets a signal that was answered: what follows can be written.
void clear();
// Names what runs, for the line that a dying library leaves.
void set_activity(const std::string& what);

}  // namespace pocketllm::signals
