"""Writes docs/cli.md from every command's `--help`: `make docs`. A test compares the two.

Commands are imported and asked in this one process: the page is a copy of what they print.
"""

import contextlib
import io
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from pocketllm.runtime import cli

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# Commands

Generated from `--help` by `make docs`; do not edit.
"""


def command_names(commands: dict[str, tuple[str, str]], group: str = "") -> Iterator[str]:
    """Yields the name of each command of a table, a group's own before those in it."""
    for name, (module, _) in commands.items():
        yield f"{group}{name}"
        inner = getattr(import_module(module), "COMMANDS", None)
        if inner is not None:
            yield from command_names(inner, f"{group}{name} ")


def help_text(command: str) -> str:
    """Returns what `pocketllm COMMAND --help` prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        cli.main([*command.split(), "--help"])
    return output.getvalue()


def page() -> str:
    """Returns the whole page: `pocketllm` itself, then a section a command."""
    sections = [HEAD]
    for command in ("", *command_names(cli.COMMANDS)):
        title = f"pocketllm {command}".rstrip()
        sections.append(f"## {title}\n\n```text\n{help_text(command).rstrip()}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
