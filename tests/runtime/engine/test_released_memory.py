"""Reading and writing all parameters does not keep a second copy of them, and harms none."""

import mmap
import shutil

import numpy as np
import pytest
from desktop_child import in_child
from small_runs import python, state_of

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.host.pages import release_array_pages

pytestmark = pytest.mark.desktop


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, make_checkpoint):
    """24 MB of parameters, in variables of many pages, in 6 slices."""
    checkpoint = make_checkpoint(hidden_size=512, intermediate_size=2048)
    out = tmp_path_factory.mktemp("pages") / "bundle"
    return read_bundle(
        in_child("tiny.export", checkpoint, out, lengths=(8,), slice_bytes=5_000_000)
    )


def bytes_of(bundle):
    return sum(4 * int(np.prod(variable.shape)) for variable in bundle.variables)


def test_what_was_read_and_written_survives_letting_go(bundle, engine, open_ready):
    model, other = open_ready(bundle, engine), open_ready(bundle, engine)
    assert bundle.slices > 3 and bytes_of(bundle) > 20e6
    model.perturb(1, 0.5)
    moved = state_of(model)
    assert state_of(model) == moved != state_of(other)

    other.write(dict(model.read()))

    assert state_of(other) == moved
    assert state_of(model) == moved


MEASURE = """
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.host.memory import read_status
from pocketllm.runtime.engine.model import open_model

model = open_model(read_bundle({folder!r}), engine={engine!r}, threads=1)
model.initialize()
values = dict(model.read()) if {what!r} == "write" else None
before = read_status()[0]
model.write(values) if values else [None for _ in model.read()]
print(read_status()[0] - before)
"""


@pytest.mark.parametrize("what", ["read", "write"])
def test_no_second_copy_stays(what, bundle, engine):
    done = python(MEASURE.format(folder=str(bundle.folder), engine=engine, what=what))

    assert done.returncode == 0, done.stderr
    grown = int(done.stdout.splitlines()[-1])
    print(f"{what}: {grown / 1e6:.1f} MB more, of {bytes_of(bundle) / 1e6:.1f}")
    assert abs(grown) < bytes_of(bundle) / 2


TOKENIZE = """
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.host.memory import read_status

small, bundle = (read_bundle(folder, verify=False) for folder in ({small!r}, {large!r}))
load_dataset({data!r}, small)  # libraries are loaded, and what they keep
before = read_status()[0]
assert len(load_dataset({data!r}, bundle).examples) == 1
print(read_status()[0] - before, bundle.tokenizer_path.stat().st_size)
"""


def test_a_large_tokenizer_is_let_go_when_the_rows_are_encoded(golden_bundle, tmp_path):
    from tokenizers import Tokenizer

    large, data = tmp_path / "bundle", tmp_path / "rows.tsv"
    shutil.copytree(golden_bundle.folder, large)
    data.write_text("sentence\tlabel\na film\t1\n")
    tokenizer = Tokenizer.from_file(str(golden_bundle.tokenizer_path))
    tokenizer.add_tokens([f"word{number}" for number in range(60_000)])
    tokenizer.save(str(large / "tokenizer.json"))
    folders = {"small": str(golden_bundle.folder), "large": str(large)}

    done = python(TOKENIZE.format(data=str(data), **folders))

    assert done.returncode == 0, done.stderr
    grown, size = map(int, done.stdout.split())
    print(f"{grown / 1e6:.1f} MB more after a tokenizer of {size / 1e6:.1f} MB")
    assert grown < 4e6


def test_only_whole_pages_inside_an_array_are_let_go():
    array = np.ones(5 * mmap.PAGESIZE, np.uint8)
    first = -array.ctypes.data % mmap.PAGESIZE

    release_array_pages(array[first + 1 : first + 3 * mmap.PAGESIZE - 1])

    expected = np.ones_like(array)
    expected[first + mmap.PAGESIZE : first + 2 * mmap.PAGESIZE] = 0
    np.testing.assert_array_equal(array, expected)
