"""docs/cli.md is what the commands print for `--help`."""

import importlib.util

import pages
import pytest


@pytest.fixture(scope="module")
def generator():
    """docs/generate_cli.py, which is no part of a package."""
    path = pages.ROOT / "docs" / "generate_cli.py"
    spec = importlib.util.spec_from_file_location("generate_cli", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(generator):
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run `make docs`"


def test_every_command_has_a_section(generator):
    names = list(generator.command_names(generator.cli.COMMANDS))
    text = generator.PAGE.read_text(encoding="utf-8")

    assert {"train", "device", "device push"} <= set(names)
    assert all(f"\n## pocketllm {name}\n" in text for name in names)
