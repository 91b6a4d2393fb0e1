"""No module runs, unpickles or unpacks blindly what it reads: every source is searched, by path."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "runtime", "tflite_models", "export", "benchmarks", "android_harness", "examples", "docs",
    ".ci",
)  # fmt: skip
UNPICKLERS = {
    "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy",
    "code", "codeop", "commands", "popen2", "xmlrpc",
}  # fmt: skip
# It becomes the command that it was given, under a limit of memory.
ALLOWED = {"benchmarks/isolation/memory_limit.py": ["os.execvp"]}
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
            if node.module.split(".")[0] in UNPICKLERS:
                yield node.module
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and _is_danger(_dotted(node, names)):
            yield ast.unparse(node)
        if isinstance(node, ast.Call):
            yield from _of_call(node, _dotted(node.func, names))


def _is_danger(name):
    return name in CALLS or name.startswith(FAMILIES)


def _of_call(node, name):
    given = {word.arg: getattr(word.value, "value", ...) for word in node.keywords}
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and not _is_danger(name):
        yield ast.unparse(node)
    word, value = NEEDED.get(name, (None, None))
    # A value that is not written there may be anything; elsewhere `shell` is a word like others.
    known = {} if name.startswith(("subprocess.", "numpy.", "torch.")) else {...: None}
    unsafe = any(known.get(given.get(key), given.get(key)) in (WORDS[key], ...) for key in WORDS)
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
"""


@pytest.mark.parametrize("code", DANGEROUS.strip().splitlines())
def test_the_search_finds_what_it_looks_for(code):
    assert list(dangers(code))


@pytest.mark.parametrize("code", HARMLESS.strip().splitlines())
def test_the_search_finds_nothing_else(code):
    assert list(dangers(code)) == []


def test_no_source_runs_unpickles_or_unpacks_blindly_what_it_reads():
    sources = {
        path.relative_to(ROOT).as_posix(): list(dangers(path.read_text(encoding="utf-8")))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }

    assert {name.split("/")[0] for name in sources} == set(FOLDERS)
    assert len(sources) > 230, "the search reads all modules, of the same name too"
    assert {name: lines for name, lines in sources.items() if lines} == ALLOWED
