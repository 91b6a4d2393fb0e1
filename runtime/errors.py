"""The two ways a command ends badly; caught only in `cli.main`, which prints one line."""


class InputError(Exception):
    """Something the user gave is wrong (a flag, a file, a row): exit code 2.

    The message is one line: the file, row or tensor, what was found, what was expected, what to do.
    """


class RunError(Exception):
    """Something failed while running (disk full, loss not finite): exit code 1, same form."""


class LossError(RunError):
    """A loss is not finite."""
