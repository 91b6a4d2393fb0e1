"""setup.cfg's ranges, constraints.txt and what is installed say the same of every package."""

import configparser
import json
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
HERE = ".".join(map(str, sys.version_info[:2]))
# What installs packages, or only CUDA builds bring: in no lock of ours.
INSTALLERS = {"pip", "setuptools", "wheel", "pocketllm"}
OPTIONAL = ("fuzz", "federated", "privacy")  # in neither environment


def setup_lines() -> dict[str, list[str]]:
    """Returns {extra, "" for the runtime: its lines in setup.cfg, comments too}."""
    parser = configparser.ConfigParser(comment_prefixes=("\0",), allow_no_value=True)
    parser.read(ROOT / "setup.cfg")
    extras = dict(parser["options.extras_require"])
    return {
        name: text.strip().splitlines()
        for name, text in {"": parser["options"]["install_requires"], **extras}.items()
    }


def requirements(*without: str) -> list[Requirement]:
    """Returns all requirements of setup.cfg but those of some extras."""
    return [
        Requirement(line)
        for extra, lines in setup_lines().items()
        for line in lines
        if extra not in without and not line.startswith("#")
    ]


def environment(python: str) -> dict[str, str]:
    """Returns what markers are compared with, under another Python."""
    return {**default_environment(), "python_version": python, "extra": ""}


def pinned(python: str) -> dict[str, str]:
    """Returns {package: version} of constraints.txt for a Python."""
    versions = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        constraint = Requirement(line)
        if constraint.marker is None or constraint.marker.evaluate(environment(python)):
            (specifier,) = constraint.specifier
            name = canonicalize_name(constraint.name)
            assert specifier.operator == "==" and name not in versions, line
            versions[name] = specifier.version
    return versions


def installed(roots: list[Requirement]) -> Iterator[metadata.Distribution]:
    """Yields what is installed of these requirements, and of theirs."""
    seen, left = set(), list(roots)
    while left:
        requirement = left.pop()
        extras = {"", *requirement.extras}
        key = canonicalize_name(requirement.name), *sorted(extras)
        here = environment(HERE)
        if requirement.marker and not requirement.marker.evaluate(here):
            continue
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        if key in seen:
            continue
        seen.add(key)
        yield distribution
        for inner in map(Requirement, distribution.requires or []):
            marker = inner.marker
            if not marker or any(marker.evaluate(here | {"extra": extra}) for extra in extras):
                inner.marker = None
                left.append(inner)


def test_the_name_of_an_extra_is_a_word_that_every_pip_takes():
    # pip before 23.3 looks for the `_` of a name, where setuptools writes `-`, and finds none.
    assert [name for name in setup_lines() if name and not name.isalpha()] == []


@pytest.mark.parametrize("extra", setup_lines())
def test_every_requirement_has_a_reason_and_both_bounds(extra):
    lines = setup_lines()[extra]
    assert extra == "test" or lines[0].startswith("#"), "the reason stands above"
    for line in lines:
        if line.startswith("#"):
            continue
        operators = {specifier.operator for specifier in Requirement(line).specifier}
        assert operators in ({">=", "<"}, {"=="}), line


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_inside_its_range(python):
    versions = pinned(python)
    for requirement in requirements(*OPTIONAL):
        if requirement.marker and not requirement.marker.evaluate(environment(python)):
            continue
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version}"


def test_what_is_installed_is_what_is_pinned():
    versions = pinned(HERE)
    differing = {}
    for distribution in installed(requirements(*OPTIONAL)):
        name = canonicalize_name(distribution.metadata["Name"])
        expected = versions.get(name)
        # PyTorch's other builds, which `make install TORCH=any` takes, have the same number
        public = [(text or "").partition("+")[0] for text in (distribution.version, expected)]
        if name not in INSTALLERS and not name.startswith(("nvidia-", "cuda-", "triton")):
            differing |= {name: (distribution.version, expected)} if len(set(public)) > 1 else {}

    assert differing == {}, "run `make clean install`, or `make constraints` after a new range"


def test_the_search_of_what_is_installed_finds_what_is_brought_in():
    names = {canonicalize_name(entry.metadata["Name"]) for entry in installed(requirements())}

    assert {"numpy", "pytest", "iniconfig", "ai-edge-litert", "protobuf"} <= names


def test_torch_is_the_cpu_build_wherever_another_would_be_taken():
    assert pinned("3.11")["torch"] == ("2.13.0+cpu" if sys.platform == "linux" else "2.13.0")


def test_make_installs_what_is_pinned():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "pip install" in line]

    assert len(installs) == 4
    assert all("--constraint" in line for line in installs)


def test_the_phones_image_runs_the_desktops_versions():
    """LiteRT above all: a journal from the phone is replayed by the desktop's, to the bit."""
    lock = json.loads((ROOT / "android_harness/image/image.lock.json").read_text(encoding="utf-8"))
    wheels = {
        canonicalize_name(package["name"]): package["version"]
        for package in lock["packages"]
        if package["kind"] == "wheel"
    }
    desktop = pinned("3.11")

    assert "ai-edge-litert" in wheels
    assert wheels == {name: desktop[name] for name in wheels}
