// The command: its flags, what it reads, the run, and what it prints.
#pragma once

namespace pocketllm {

// Returns the exit code. Throws InputError, RunError, Interrupted.
int run_command(int count, char** arguments);

}  // namespace pocketllm
