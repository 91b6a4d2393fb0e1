"""Every command on a page is one that the program takes, with flags that it has."""

import re
from importlib import import_module
from importlib.util import find_spec

import pages
import pytest

from pocketllm.runtime import cli

# Of `pocketllm` itself, of ld.so, of modules that `python -m` runs, of examples, of the native
# program.
FOREIGN_FLAGS = {
    "help", "version", "library-path", "sst2", "type", "encoded", "conformance", "directory",
    "accelerator",
}  # fmt: skip


@pytest.fixture
def accepts(monkeypatch, tmp_path):
    """Returns a function: whether the real parser takes a command's words. Nothing is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.native_output, "divert", lambda: None)
    monkeypatch.setattr(cli.signals, "install", lambda: None)

    def parse(words: list[str]) -> bool:
        module = command_module(words)
        if not hasattr(module, "run"):  # a group, named in prose
            return cli.main([*words, "--help"]) == cli.DONE
        monkeypatch.setattr(module, "run", lambda *values: {})
        return cli.main(words) == cli.DONE

    return parse


def command_module(words):
    """Returns the module of the command that the words begin with, or of the innermost group."""
    table, module = cli.COMMANDS, cli
    for word in words:
        if word not in table:
            break
        module = import_module(table[word][0])
        table = getattr(module, "COMMANDS", {})
    return module


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_commands_on_a_page_are_taken_by_the_program(page, accepts, capsys):
    wrong = []
    for program, *words in pages.commands(page.read_text(encoding="utf-8")):
        if program == "pocketllm" and not accepts(words):
            wrong.append(f"{' '.join(words)}: {capsys.readouterr().err}")
        elif program == "make" and not set(words) <= make_targets():
            wrong.append(f"make {' '.join(words)}")
        elif program == "python" and not (words[0] == "-m" and find_spec(words[1])):
            wrong.append(f"python {' '.join(words)}")

    assert wrong == []


def make_targets():
    text = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([\w-]+):", text, re.M))


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_flags_on_a_page_are_those_of_some_command(page, all_flags):
    assert pages.flags(page.read_text(encoding="utf-8")) - all_flags == set()


@pytest.fixture(scope="module")
def all_flags():
    """The names of the flags of all commands, negated ones too."""
    values = [flags for module in modules(cli.COMMANDS) for flags in [module.FLAGS]]
    names = {name for flags in values for name in flags}
    return names | {f"no{name}" for name in names} | {"json"} | FOREIGN_FLAGS


def modules(table):
    for path, _ in table.values():
        module = import_module(path)
        if hasattr(module, "COMMANDS"):
            yield from modules(module.COMMANDS)
        else:
            yield module


@pytest.mark.parametrize(
    "line",
    ["trian --steps=1", "train --stpes=1", "train --steps=x", "train data.tsv", "device psuh"],
)
def test_a_command_that_the_program_does_not_take_is_noticed(line, accepts):
    assert not accepts(line.split())


def test_the_readme_has_commands_to_check():
    text = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    programs = [" ".join(words[:2]) for words in pages.commands(text)]

    expected = {"make quickstart", "pocketllm export", "pocketllm train", "pocketllm eval"}
    assert expected <= set(programs)


def test_commands_are_read_from_code_and_prose():
    text = "`pocketllm eval --run=r`\n\n    $ pocketllm train \\\n        --steps=1   # ten\n"

    words = [["pocketllm", "train", "--steps=1"], ["pocketllm", "eval", "--run=r"]]
    assert list(pages.commands(text)) == words
