"""docs/architecture.md shows the tree as it is, and the order of its imports."""

import re
from collections.abc import Iterator
from itertools import takewhile

import pages
import pytest
from rooms import PACKAGES, ROOMS

# Folders of a package that hold data, or C++: they have no place in the order of imports.
DATA = {"tflite_models/roberta_micro", "tflite_models/opt_micro", "android_harness/native"}


@pytest.fixture(scope="module")
def tree() -> list[str]:
    """The tree's paths in the page's order: `package`, `package/room`, `package/module.py`."""
    text = (pages.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return list(paths(re.search(r"## The tree\n.*?```text\n(.*?)```", text, re.S)[1]))


def paths(tree: str) -> Iterator[str]:
    """Yields what each line names before its description; rooms are indented by two."""
    package = ""
    for line in tree.splitlines():
        names = takewhile(re.compile(r"[\w/]+(/|\.py)$").match, line.split())
        if not line.startswith(" "):
            package = next(names).rstrip("/")
            yield package
        for name in names:
            yield f"{package}/{name.rstrip('/')}"


def test_the_tree_names_every_room_of_every_package_and_no_other(tree):
    assert {path for path in tree if is_room(path)} == rooms_on_disk()


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_and_single_modules_stand_in_the_order_of_imports(package, tree):
    inside = [path.split("/")[1:] for path in tree if path.split("/")[0] == package]
    inside = [path[0] for path in inside if len(path) == 1 and f"{package}/{path[0]}" not in DATA]

    assert [name.removesuffix(".py") for name in inside] == list(ROOMS[package])


def test_packages_stand_in_the_order_of_imports(tree):
    assert tuple(path for path in tree if path in PACKAGES) == PACKAGES


def is_room(path):
    """Whether a path of the tree is a folder inside a package."""
    return path.split("/")[0] in PACKAGES and "/" in path and not path.endswith(".py")


def rooms_on_disk():
    """Returns every folder with an `__init__.py` inside a package, and the bundled checkpoints."""
    inside = [path for package in PACKAGES for path in (pages.ROOT / package).rglob("__init__.py")]
    rooms = {str(path.parent.relative_to(pages.ROOT)) for path in inside}
    return rooms - set(PACKAGES) | DATA
