"""Rules of this code that a linter does not know: lengths, positional parameters, names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import rooms

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (*rooms.PACKAGES, "examples", "tests")
MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 60  # docstring counted, decorators not
MOST_POSITIONAL = 5  # besides self
# Participles and numerals that say nothing of what is behind them.
EMPTY_NAMES = {"held", "found", "made", "one", "taken", "asked", "told", "said"}

PATHS = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in PATHS
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Yields (where, function) of all sources and tests."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{name}:{node.lineno} {node.name}", node


def positional_count(node: Function) -> int:
    """Returns how many arguments a caller may give without their names, `self` not counted."""
    names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    return len([name for name in names if name not in ("self", "cls")])


def is_called_by_pytest(node: Function) -> bool:
    """Returns whether a function is a test or a fixture: pytest gives the arguments by name."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return node.name.startswith("test_") or any(
        text.split("(")[0] == "pytest.fixture" for text in decorators
    )


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
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.lineno, node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.lineno, node.rest


def of_source(source: str) -> Function:
    (function,) = ast.parse(source).body
    assert isinstance(function, Function)
    return function


def test_the_search_counts_the_parameters_that_need_no_name():
    assert positional_count(of_source("def f(self, a, /, b, c=1, *rest, d, **more): ...")) == 3
    assert positional_count(of_source("async def f(a, b, c, d, e, f): ...")) == 6


def test_the_search_knows_what_pytest_calls():
    assert is_called_by_pytest(of_source("def test_a(b): ..."))
    assert is_called_by_pytest(of_source("@pytest.fixture\ndef a(b): ..."))
    assert is_called_by_pytest(of_source("@pytest.fixture(scope='module')\ndef a(b): ..."))
    assert not is_called_by_pytest(of_source("@cache\ndef a(b): ..."))
    assert not is_called_by_pytest(of_source("def a_test_of(b): ..."))


def test_the_search_finds_every_way_to_bind_a_name():
    source = """
a: int = 1
b += 1
for c, *d in []: pass
with x as e: self.f = [g for g in x]
def h(i, *j, k=1, **l): return (m := 1)
class n: pass
import x as o
from x import y as p
try: pass
except E as q: pass
match x:
    case [r, *s]: pass
    case {"a": 1, **t}: pass
    case 1 as u: pass
def w():
    global v
    v = 1
call(unbound=1)
"""
    bound = {name for _, name in bound_names(ast.parse(source))}

    assert bound == set("abcdefghijklmnopqrstuvw")


def test_the_search_reads_the_packages_and_the_tests():
    folders = {name.split("/")[0] for name in TREES}

    assert folders == set(FOLDERS)
    assert len(TREES) > 300


def test_no_file_is_longer_than_a_few_screens():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PATHS
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
    many = {
        where: count
        for where, node in functions()
        if (count := positional_count(node)) > MOST_POSITIONAL and not is_called_by_pytest(node)
    }

    assert many == {}


def test_names_are_nouns_of_the_domain():
    places = [
        f"{path}:{line} {name}"
        for path, tree in TREES.items()
        for line, name in bound_names(tree)
        if name in EMPTY_NAMES
    ]

    assert places == []
