"""Tasks of one's own data, and the lengths that a task's rows need."""
