"""What the operating system gives: files, memory, signals, power."""
