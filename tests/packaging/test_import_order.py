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


# Tables of names that a module imports when a user asks for them, so no arrows: the command line
# stands below what it starts, and lets a phone hold the runtime alone.
TABLES = {"runtime.cli": "COMMANDS"}


def lazy_names(package: str) -> dict[str, str]:
    """Returns {public name: module} of a package's face, which imports at first use."""
    for node in ast.parse(MODULES[package].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_MODULES":
            table = ast.literal_eval(node.value)
            return {name: f"{package}.{module}" for name, module in table.items()}
    return {}


FACES = {package: lazy_names(package) for package in PACKAGES}


def imports_of(name: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Yields the names of our modules that a module imports, a face's names as their modules."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _ours(alias.name.removeprefix("pocketllm."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            dotted = f"{node.module or ''}."
            base = [*base, *dotted.removeprefix("pocketllm.").split(".")]
            parent = ".".join(part for part in base if part)
            for alias in node.names:
                inner = f"{parent}.{alias.name}".lstrip(".")
                lazy = FACES.get(parent, {}).get(alias.name, parent)
                yield from _ours(inner if inner in MODULES else lazy)


def named_in_strings(name: str, source: str) -> Iterator[str]:
    """Yields the names of our modules that stand in a module's strings, its table's excepted."""
    tree = ast.parse(source)
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == TABLES.get(name))
    ]
    for node in ast.walk(ast.Module(body, [])):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text.startswith("pocketllm."):
            yield from _ours(text.removeprefix("pocketllm."))


def arrows_of(name: str) -> set[str]:
    """Returns what a module of the tree imports."""
    path = MODULES[name]
    source = path.read_text(encoding="utf-8")
    return set(imports_of(name, source, path.name == "__init__.py")) - {name}


def _ours(name: str) -> Iterator[str]:
    if name in MODULES:
        yield name


def floor_of(name: str) -> tuple[int, int]:
    """Returns how high a module stands: its package's place, then its room's."""
    package, *inner = name.split(".")
    rooms = ROOMS[package]
    return PACKAGES.index(package), rooms.index(inner[0]) if inner else -1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pocketllm.export.api", {"export.api"}),
        ("from pocketllm import export", {"export"}),
        ("from pocketllm import export, benchmarks", {"export", "benchmarks"}),
        ("from pocketllm.export import api", {"export.api"}),
        ("from pocketllm.export import export", {"export.api"}),
        ("from pocketllm.export.api import export", {"export.api"}),
        ("from . import loop", {"runtime.run.loop"}),
        ("from .loop import train", {"runtime.run.loop"}),
        ("from .. import errors, train", {"runtime.errors", "runtime.run.loop"}),
        ("def f():\n    from ..cli import main", {"runtime.cli"}),
        ("import numpy\nfrom os import path", set()),
    ],
)
def test_the_search_finds_an_import_of_every_form(source, expected):
    assert set(imports_of("runtime.run.folder", source)) == expected


def test_the_search_finds_modules_that_strings_name():
    source = 'COMMANDS = {"a": "pocketllm.export"}\nimport_module("pocketllm.export.api")\n"export"'

    assert set(named_in_strings("runtime.errors", source)) == {"export", "export.api"}
    assert set(named_in_strings("runtime.cli", source)) == {"export.api"}, "but for its table"


def test_every_module_stands_in_a_room_with_a_floor():
    rooms = {f"{package}.{room}" for package in PACKAGES for room in ROOMS[package]}

    assert {".".join(name.split(".")[:2]) for name in MODULES if "." in name} == rooms


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_downwards(package):
    upwards = [
        f"{name} -> {imported}"
        for name, path in MODULES.items()
        if name.split(".")[0] == package
        for imported in [
            *arrows_of(name),
            *named_in_strings(name, path.read_text(encoding="utf-8")),
        ]
        if floor_of(imported) > floor_of(name)
    ]

    assert upwards == []


def test_no_modules_import_in_a_circle():
    graph = {name: arrows_of(name) for name in MODULES}
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
