"""Finds the modules of PocketLLM that a phone runs: the runtime, and what else is started there."""

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

import pocketllm.runtime
from pocketllm.benchmarks.bench.workers import LITERT, SGEMM
from pocketllm.runtime.cli import COMMANDS

TOP = Path(pocketllm.runtime.__file__).parents[1]  # the folder of the package `pocketllm`


def phone_modules() -> dict[str, Path]:
    """Returns {path below `pocketllm`: file} of all modules of ours that an image holds.

    The runtime is taken whole, because its commands are imported by name. Of the others, the image
    needs what `device bench` and a federation's client start, and all that this imports.
    """
    started = (LITERT, SGEMM, command_module("federate", "answer"))
    files = {*(TOP / "runtime").rglob("*.py"), *(file for m in started for file in module_files(m))}
    return {file.relative_to(TOP).as_posix(): file for file in sorted(files)}


def command_module(group: str, name: str) -> str:
    """Returns the dotted name of a command's module; the tables name it, as for the shell."""
    return import_module(COMMANDS[group][0]).COMMANDS[name][0]


def module_files(name: str) -> set[Path]:
    """Returns the files of a module, of its packages, and of all modules of ours it imports.

    Args:
      name: dotted name, "pocketllm." in front.
    """
    files, names = set(), {name}
    while names:
        name = names.pop()
        file = _file_of(name)
        if file is not None and file not in files:
            files.add(file)
            names |= {name.rpartition(".")[0], *_imports_of(name, file)}
    return files


def _file_of(name: str) -> Path | None:
    """Returns the file of a module or package of ours; None for any other name."""
    path = TOP.joinpath(*name.split(".")[1:])
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if name.startswith("pocketllm.") and file.is_file()), None)


def _imports_of(name: str, file: Path) -> Iterator[str]:
    """Yields the names that a module imports: modules, and names that may be modules."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
