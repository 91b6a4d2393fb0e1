"""Imports run downwards: a room imports what stands below it, and no modules import in a circle.

Imports inside functions count too: they are a way to hide an arrow, not to turn it round.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from rooms import PACKAGES, ROOMS

ROOT = Path(__file__).resolve().parents[2]
MOST_MODULES = 15


def modules_of(package: str) -> dict[str, Path]:
    """Returns {dotted name: file} of a package, without `pocketllm.` in front."""
    modules = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = {name: path for package in PACKAGES for name, path in modules_of(package).items()}


def imports_of(name: str, path: Path) -> Iterator[str]:
    """Yields the names of our modules that a module imports."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _ours(alias.name.removeprefix("pocketllm."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = [*base, *(node.module or "").removeprefix("pocketllm.").split(".")]
            parent = ".".join(part for part in base if part)
            for alias in node.names:
                inner = f"{parent}.{alias.name}"
                yield from _ours(inner if inner in MODULES else parent)


def _ours(name: str) -> Iterator[str]:
    if name in MODULES:
        yield name


def floor_of(name: str) -> tuple[int, int]:
    """Returns how high a module stands: its package's place, then its room's."""
    package, *inner = name.split(".")
    rooms = ROOMS[package]
    return PACKAGES.index(package), rooms.index(inner[0]) if inner else -1


def test_every_module_stands_in_a_room_with_a_floor():
    rooms = {f"{package}.{room}" for package in PACKAGES for room in ROOMS[package]}

    assert {".".join(name.split(".")[:2]) for name in MODULES if "." in name} == rooms


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_downwards(package):
    upwards = [
        f"{name} -> {imported}"
        for name, path in MODULES.items()
        if name.split(".")[0] == package
        for imported in imports_of(name, path)
        if floor_of(imported) > floor_of(name)
    ]

    assert upwards == []


def test_no_modules_import_in_a_circle():
    graph = {name: set(imports_of(name, path)) - {name} for name, path in MODULES.items()}
    assert "runtime.errors" in graph["runtime.cli"], "the search finds imports"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_folder_holds_more_than_fifteen_modules():
    folders = {path.parent for path in MODULES.values()}
    folders |= {path.parent for path in (ROOT / "tests").rglob("*.py")}
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in folders
        if (count := len(list(folder.glob("*.py")))) > MOST_MODULES
    }

    assert crowded == {}
