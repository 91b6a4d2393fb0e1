"""What no release of a library promises is used in two modules, and nowhere else."""

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import rooms
from packaging.requirements import Requirement

from pocketllm.runtime.engine import private_interface

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (*rooms.PACKAGES, "examples")
PLACES = {"runtime/engine/private_interface.py", "export/private_interface.py"}
# Documented in spite of their names: namedtuple's, os's, sys's.
DOCUMENTED = {"_make", "_replace", "_asdict", "_fields", "_exit"}
OWN = {"self", "cls"}


def private_uses(source: str) -> Iterator[str]:
    """Yields what code reaches for behind another's public interface."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            name, owner = node.attr, ast.unparse(node.value)
            hidden = name.startswith("_") and not name.endswith("__")
            if hidden and owner not in OWN and name not in DOCUMENTED:
                yield f"{owner}.{name}"
        elif isinstance(node, ast.keyword) and (node.arg or "").startswith("experimental"):
            yield node.arg
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            foreign = isinstance(node, ast.Import) or not node.level
            for name in names:
                parts = name.split(".")
                if foreign and any(
                    part.endswith("_generated") or (part.startswith("_") and part[:2] != "__")
                    for part in parts
                ):
                    yield name


def test_the_search_finds_what_it_looks_for():
    code = "a._b\nf(experimental_c=1)\nfrom x import d_generated\nfrom y._e import g\nimport _h"

    assert set(private_uses(code)) == {"a._b", "experimental_c", "d_generated", "y._e", "_h"}
    assert list(private_uses("self._a\nT._make(b)\nx.__name__\nfrom .c import _d")) == []


def test_two_modules_hold_every_private_interface_that_is_used():
    uses = {
        path.relative_to(ROOT).as_posix(): list(private_uses(path.read_text(encoding="utf-8")))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }

    assert uses["runtime/engine/private_interface.py"] and uses["export/private_interface.py"]
    assert {path: names for path, names in uses.items() if names and path not in PLACES} == {}


def test_the_versions_that_a_refusal_names_are_setup_cfgs():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    text = parser["options"]["install_requires"] + parser["options.extras_require"]["export"]
    ranges = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, text.strip().splitlines())
    }
    tested = ast.parse((ROOT / "export" / "private_interface.py").read_text(encoding="utf-8"))
    (exporters,) = [
        ast.literal_eval(node.value)
        for node in tested.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TESTED"
    ]

    for name, versions in [*private_interface.TESTED.items(), *exporters.items()]:
        assert Requirement(f"{name}{versions}").specifier == ranges[name]
