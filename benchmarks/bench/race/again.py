"""What lets a comparison of runs go on where it stopped, and be run again; what it leaves."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import make_folders, read_json, write_bytes, write_json

from .figure import draw

TEXT, RESULT = "report.md", "report.json"
FIGURES = ("curves.png", "curves.svg")


def once(path: Path, make: Callable[[], dict]) -> dict:
    """Returns what a JSON file holds; makes it where there is none."""
    if path.exists():
        return read_json(path, f"remove {path} to run it again")
    result = make()
    make_folders(path.parent)
    write_json(path, result)
    return result


def check_folder(path: Path, config: dict, free: Collection[str], what: str) -> None:
    """Checks that a folder is empty, or of the same comparison.

    Args:
      path: of the comparison's config, in its folder.
      config: as it is now.
      free: names of what may differ: who runs, not what a run is.
      what: a comparison is called.

    Raises:
      InputError: the folder has other contents, or is of another comparison.
    """
    out = path.parent
    if not path.exists():
        if {entry.name for entry in out.iterdir()} - {".lock"}:
            raise InputError(f"{out}: exists and holds no {what}; choose another --out")
        return
    old = read_json(path, "choose another --out")
    names = [name for name in config if name not in free and old.get(name) != config[name]]
    if names:
        changes = ", ".join(f"{name} {old.get(name)!r} -> {config[name]!r}" for name in names)
        raise InputError(f"{out}: holds another {what} ({changes}); choose another --out")


def command_of(values, words: Sequence[str]) -> list[str]:
    """Returns the command that was given.

    Args:
      values: its flags.
      words: that it begins with; flags among them are not repeated.
    """
    given = {name: values[name].value for name in values if values[name].present}
    texts = {
        f"--{name}": ",".join(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name != "json"
    }
    flags = [f"{name}={text}" for name, text in texts.items() if name not in words]
    return ["pocketllm", *words, *sorted(flags)]


def write_report(
    out: Path,
    result: dict,
    figure_of: Callable,
    text_of: Callable[[dict], str],
    table_of: Callable[[dict], str],
) -> dict:
    """Writes a comparison's figures, report.md and report.json, and prints its table.

    Args:
      out: the folder.
      result: what report.json holds, but for the names of the figures.
      figure_of: result -> the matplotlib Figure.
      text_of: result -> report.md.
      table_of: result -> a table for a terminal.

    Returns:
      the result with the names.
    """
    result = {**result, "figures": list(FIGURES)}
    draw(figure_of, result, [out / name for name in FIGURES])
    write_bytes(out / TEXT, text_of(result).encode())
    write_json(out / RESULT, result)
    print(table_of(result))
    print(out / TEXT)
    return result
