"""No module runs, unpickles or unpacks blindly what it reads: every source is searched, by path."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import rooms

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (*rooms.PACKAGES, "examples", "docs", ".ci")
UNPICKLERS = {
    "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy",
    "code", "codeop", "commands", "popen2", "xmlrpc",
}  # fmt: skip
# Modules of which `*` brings in what runs or unpickles, and whose names are not looked up by text.
POWERFUL = UNPICKLERS | {"os", "posix", "subprocess", "pty", "shutil", "builtins", "importlib"}
LOADERS = {
    "ctypes.CDLL", "ctypes.PyDLL", "ctypes.OleDLL", "ctypes.WinDLL",
    "ctypes.cdll.LoadLibrary", "ctypes.pydll.LoadLibrary", "ctypes.util.find_library",
}  # fmt: skip
# Reviewed, by path: each names what the program itself lists, nothing that was read.
ALLOWED = {
    # It becomes the command that it was given, under a limit of memory.
    "benchmarks/isolation/memory_limit.py": ["os.execvp"],
    # Attributes of `os` that the fault recorder replaces: its own list.
    "benchmarks/torture/disk.py": ["getattr(os, name)"],
    # Commands, public names and engines: tables of literals in the same file, or the next one.
    "runtime/cli.py": ["import_module(commands[chosen][0])"],
    "runtime/__init__.py": ["import_module(f'{__name__}.{_MODULES[name]}')"],
    "export/__init__.py": ["import_module(f'{__name__}.{_MODULES[name]}')"],
    "runtime/engine/interpreter.py": ["import_module(MODULES[name])"],
    "docs/generate_cli.py": ["import_module(module)"],
    "android_harness/image/modules.py": ["import_module(COMMANDS[group][0])"],
    # Every module that lies in its own folder.
    "export/models/__init__.py": ["import_module(f'{__package__}.{name}')"],
}
# What runs its argument, or writes wherever an archive says.
CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile",
    "os.system", "os.popen", "os.startfile", "subprocess.getoutput", "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell", "pty.spawn", "shutil.unpack_archive", "tempfile.mktemp",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "pandas.read_pickle",
    "numpy.lib.format.read_array", "imp.load_source", "importlib.machinery.SourceFileLoader",
    "importlib.util.spec_from_file_location", "tensorflow.saved_model.load",
    "tensorflow.keras.models.load_model", "keras.models.load_model",
}  # fmt: skip
FAMILIES = ("os.exec", "os.spawn", "os.posix_spawn")
METHODS = {"extractall", "extract", "unpack_archive", "load_module", "exec_module"}
# Words that make a call a danger, and calls that are one without a word -> (word, value).
WORDS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}
NEEDED = {"numpy.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}


def dangers(source: str) -> Iterator[str]:
    """Yields what may run, unpickle or unpack something that was read."""
    tree = ast.parse(source)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
                if first in UNPICKLERS:
                    yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            first = node.module.split(".")[0]
            if first in UNPICKLERS or (first in POWERFUL and names.pop("*", None)):
                yield ast.unparse(node)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and _is_danger(_dotted(node, names)):
            yield ast.unparse(node)
        if isinstance(node, ast.Call):
            if _is_looked_up(node, _dotted(node.func, names), names):
                yield ast.unparse(node)
            yield from _of_call(node, _dotted(node.func, names))


def _is_danger(name):
    module, _, attribute = name.rpartition(".")
    if attribute == "__dict__" and module in POWERFUL:
        return True
    return name in CALLS or name.startswith(FAMILIES)


def _is_looked_up(node, name, names):
    """Whether a call imports, loads or looks up what no literal names."""
    first = node.args[0] if node.args else None
    if name in ("importlib.import_module", "importlib.reload"):
        module = getattr(first, "value", None)
        return not isinstance(module, str) or module.split(".")[0] in UNPICKLERS
    if name in LOADERS:  # None: what the process has loaded already
        return not isinstance(first, ast.Constant) or first.value is not None
    if name in ("getattr", "builtins.getattr") and len(node.args) > 1:
        module, attribute = _dotted(first, names), node.args[1]
        if _is_text(attribute):
            return _is_danger(f"{module}.{attribute.value}")
        return module in POWERFUL
    return name in ("vars", "builtins.vars") and _dotted(first, names) in POWERFUL


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _of_call(node, name):
    given = {word.arg: getattr(word.value, "value", ...) for word in node.keywords}
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and not _is_danger(name):
        yield ast.unparse(node)
    word, value = NEEDED.get(name, (None, None))
    # A value that is not written there may be anything; elsewhere `shell` is a word like others.
    unknown = (...,) if name.startswith(("subprocess.", "numpy.", "torch.")) else ()
    unsafe = any(given.get(key) in (WORDS[key], *unknown) for key in WORDS)
    if unsafe or (word and given.get(word) is not value):
        yield ast.unparse(node)


def _dotted(node, names):
    """Returns a dotted name with its imports resolved; "" for what has none."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


DANGEROUS = """
import pickle
from marshal import loads
import dill as d
import shelve, os
import numpy as np; np.load(a)
import numpy; numpy.load(a, allow_pickle=True)
from numpy import load as read; read(a)
import numpy as n; n.load(a, allow_pickle=b)
import torch; torch.load(a)
import torch; torch.load(a, weights_only=False)
import torch; torch.jit.load(a)
eval(a)
exec(a)
run = eval; run(a)
map(eval, a)
__import__(a)
import builtins as b; b.exec(a)
import os; os.system(a)
from os import popen; popen(a)
import os; os.execvp(a, b)
import os as o; o.spawnl(a)
from os import execv; execv(a)
def f(): import os; os.system(a)
import subprocess; subprocess.run(a, shell=True)
import subprocess as s; s.getoutput(a)
from subprocess import Popen; Popen(a, shell=b)
import yaml; yaml.load(a)
import tarfile; tarfile.open(a).extractall(b)
archive.extract(a)
import shutil; shutil.unpack_archive(a)
import tempfile; tempfile.mktemp()
AutoModel.from_pretrained(a, trust_remote_code=True)
import importlib; importlib.import_module(a)
import importlib as i; i.import_module(f"a.{b}")
from importlib import import_module; import_module(a + "b")
from importlib import import_module as load; load(name=a)
import importlib; importlib.import_module("pickle")
import ctypes; ctypes.CDLL(a)
import ctypes; ctypes.CDLL("libx.so")
from ctypes import CDLL; CDLL(a, use_errno=True)
import ctypes as c; c.PyDLL(a)
import ctypes; ctypes.cdll.LoadLibrary(a)
import os; getattr(os, a)
import os; getattr(os, a, None)(b)
import os as o; getattr(o, "sys" + a)
import subprocess; getattr(subprocess, a)
import shutil; getattr(shutil, a)(b)
import os; getattr(os, "system")(a)
import os; vars(os)[a](b)
import os; os.__dict__[a](b)
from os import *
from subprocess import *
from pickle import *
from shutil import *
"""
HARMLESS = """
import numpy as np; np.load(a, allow_pickle=False)
import torch; torch.load(a, weights_only=True)
model.eval(a)
import re; re.compile(a)
subprocess.run(a, shell=False)
import os; os.path.join(a)
archive.read(a)
archive.extractfile(a)
yaml.safe_load(a)
import importlib; importlib.import_module("json")
import ctypes; ctypes.CDLL(None, use_errno=True)
getattr(a, b)
import os; getattr(os, "sched_getaffinity", None)
"""


@pytest.mark.parametrize("code", DANGEROUS.strip().splitlines())
def test_the_search_finds_what_it_looks_for(code):
    assert list(dangers(code))


@pytest.mark.parametrize("code", HARMLESS.strip().splitlines())
def test_the_search_finds_nothing_else(code):
    assert list(dangers(code)) == []


def tracked_sources():
    """Returns every Python file of the repository but the tests, by its path.

    Without git, as in an unpacked archive: those on the disk that are not hidden.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        names = done.stdout.split("\0")[:-1]
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")]
        names = [name for name in names if not name.startswith(".") or name.startswith(".ci/")]
    return sorted(
        name for name in names if not name.startswith("tests/") and (ROOT / name).exists()
    )


def test_no_source_runs_unpickles_or_unpacks_blindly_what_it_reads():
    names = tracked_sources()
    sources = {name: list(dangers((ROOT / name).read_text(encoding="utf-8"))) for name in names}

    assert {name.split("/")[0] for name in sources} >= set(FOLDERS)
    assert len(sources) > 230, "the search reads all modules, of the same name too"
    assert {name: lines for name, lines in sources.items() if lines} == ALLOWED


@pytest.mark.parametrize("name", ["setup.py", "conftest.py", "scripts/tool.py", ".hidden/tool.py"])
def test_a_file_outside_the_known_folders_is_searched_too(name, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("import pickle")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("import pickle")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)

    assert tracked_sources() == [name]
