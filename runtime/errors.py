"""The two ways a command ends badly; caught only in `cli.main`, which prints one line."""


class InputError(Exception):
    """Something the user gave is wrong (a flag, a file, a row): exit code 2.

    The message is one line: the file, row or tensor, what was found, what was expected, what to do.
    """


class RunError(Exception):
    """Something failed while running (disk full, loss not finite): exit code 1, same form."""


class LossError(RunError):
    """A loss is not finite."""


def panic_of(error: BaseException) -> str | None:
    """Returns the text of a panic in a Rust library, None for any other exception.

    `tokenizers` raises it as pyo3_runtime.PanicException: no Exception, and not to be imported.
    """
    return str(error) if type(error).__name__ == "PanicException" else None


def is_of_tokenizers(error: BaseException) -> bool:
    """Whether `tokenizers` failed: it raises plain Exception for what it refuses, or panics."""
    return type(error) is Exception or panic_of(error) is not None


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, of bounded length."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:160]
