"""setup.cfg: a folder that is forgotten there works here and is missing from the wheel."""

import configparser
import re
from pathlib import Path

import pytest
from small_runs import python

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def options():
    """What setup.cfg says."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def folders(options):
    """Package -> its folder."""
    lines = options["options"]["package_dir"].strip().splitlines()
    return dict(re.split(r"\s*=\s*", line) for line in lines)


def packages_in(folder):
    """Folders under `folder`, itself too, that are packages."""
    return [init.parent for init in sorted(folder.rglob("__init__.py"))]


def test_every_package_folder_is_listed(options, folders):
    on_disk = {
        ".".join([package, *inner.relative_to(ROOT / folder).parts])
        for package, folder in folders.items()
        for inner in packages_in(ROOT / folder)
    }

    assert set(options["options"]["packages"].split()) == on_disk
    assert "pocketllm.runtime" in on_disk


def test_every_top_folder_with_code_is_a_package_or_does_not_ship(folders):
    with_code = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[!.]*/**/*.py")}

    assert with_code - {"build", "docs", "examples", "tests"} == set(folders.values())


def test_the_parent_package_stays_a_namespace(folders):
    """An __init__.py of `pocketllm` would break pushing runtime/ alone to a phone."""
    assert "pocketllm" not in folders
    assert not (ROOT / "__init__.py").exists()


def test_every_data_file_of_a_package_is_shipped(options, folders):
    shipped = {
        path
        for package, patterns in options["options.package_data"].items()
        for pattern in patterns.split()
        for path in (ROOT / package.removeprefix("pocketllm.").replace(".", "/")).glob(pattern)
    }
    for package, folder in folders.items():
        inside = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        data = {p for p in inside if p.suffix not in (".py", ".pyc", ".md")}

        assert data <= shipped, f"{package}: {sorted(map(str, data - shipped))}"


def test_the_runtime_never_imports_the_desktop():
    pattern = re.compile(r"^\s*(from|import)\s+(\S*export|tensorflow|torch|transformers)\b", re.M)

    assert pattern.search("from pocketllm.export import x")
    for path in (ROOT / "runtime").rglob("*.py"):
        assert not pattern.search(path.read_text(encoding="utf-8")), path


@pytest.mark.desktop
def test_every_module_that_ships_can_be_imported_by_its_packages_name(folders):
    # A process a package: TensorFlow and transformers' models together crash some interpreters,
    # and no command loads both.
    for package, folder in folders.items():
        inside = [p.relative_to(ROOT / folder) for p in sorted((ROOT / folder).rglob("*.py"))]
        names = [".".join([package, *path.with_suffix("").parts]) for path in inside]
        done = python("\n".join(f"import {name}" for name in names))
        assert names
        assert done.returncode == 0, done.stderr
