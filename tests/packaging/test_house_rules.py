"""Rules of this code that a linter does not know: lengths, positional parameters, names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("runtime", "tflite_models", "export", "benchmarks", "android_harness", "examples")
MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 60  # docstring counted, decorators not
MOST_POSITIONAL = 5  # besides self
# Participles and numerals that say nothing of what is behind them.
EMPTY_NAMES = {"held", "found", "made", "one", "taken", "asked", "told", "said"}

SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def parsed(paths: list[Path]) -> dict[str, ast.Module]:
    """Returns {path in the repository: syntax tree}."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
    }


TREES, TEST_TREES = parsed(SOURCES), parsed(TESTS)


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yields (where, function) of all sources."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}:{node.lineno} {node.name}", node


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields (line, name) wherever a name is given: to a variable, a parameter, a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name


def test_no_file_is_longer_than_a_few_screens():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
    }

    assert {name: lines for name, lines in lengths.items() if lines > MOST_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen():
    long = {
        where: lines
        for where, node in functions()
        if (lines := node.end_lineno - node.lineno + 1) > MOST_FUNCTION_LINES
    }

    assert long == {}


def test_what_comes_after_the_fifth_parameter_is_named_where_it_is_called():
    many = {}
    for where, node in functions():
        names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
        count = len([name for name in names if name not in ("self", "cls")])
        if count > MOST_POSITIONAL:
            many[where] = count

    assert many == {}


@pytest.mark.parametrize("name", sorted(EMPTY_NAMES))
def test_names_are_nouns_of_the_domain(name):
    places = [
        f"{path}:{line}"
        for path, tree in {**TREES, **TEST_TREES}.items()
        for line, bound in bound_names(tree)
        if bound == name
    ]

    assert places == []
