"""A process opens the signatures that it calls: the same bits, less memory, the file as it was."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from small_runs import python, rows, state_of, write_tsv

from pocketllm.runtime import contract
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.engine import mapped_bytes
from pocketllm.runtime.engine.compiled import CompiledEngine
from pocketllm.runtime.engine.flatbuffer import keep_signatures, values_offset
from pocketllm.runtime.engine.mapped_bytes import MappedBytes
from pocketllm.runtime.engine.model import Model, open_model
from pocketllm.runtime.engine.part import part_of
from pocketllm.runtime.engine.probe_model import probe_model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import sha256_of
from pocketllm.runtime.optim.adam import CALLS

pytestmark = pytest.mark.desktop


@pytest.fixture(scope="module")
def bundle(make_checkpoint, make_bundle):
    """LoRA on an int8 base, with gradients: `adam_step_T` runs the subgraphs of others."""
    return make_bundle(make_checkpoint(), kind="lora", base="int8", adam=True)


@pytest.fixture(scope="module")
def batches(bundle, tmp_path_factory):
    path = write_tsv(tmp_path_factory.mktemp("data") / "train.tsv", rows(5, seed=3))
    return batches_of(load_dataset(path, bundle), bundle, range(5))


def mezo(model, batches):
    model.perturb(3, 0.1)
    return model.loss(batches)


def adam(model, batches):
    model.initialize_adam()
    return model.adam_step(batches[0], 1, 1e-2, 1.0)


@pytest.mark.parametrize(
    ("calls", "steps"),
    [
        ({contract.PERTURB_AND_UPDATE, contract.FORWARD_LOSS}, mezo),
        ({contract.ADAM_STEP, contract.ADAM_INITIALIZE}, adam),
        (CALLS, adam),
    ],
)
@pytest.mark.parametrize("in_file", [True, False])
def test_a_part_has_the_bits_of_the_whole(calls, steps, in_file, bundle, batches):
    results = []
    before = sha256_of(bundle.model_path)
    for part in (None, calls):
        model = open_model(bundle, threads=1, packed_in_file=in_file, calls=part)
        model.initialize()
        results.append((steps(model, batches), state_of(model)))

    assert results[0] == results[1]
    assert sha256_of(bundle.model_path) == before


def test_packed_weights_are_those_of_the_whole_file(bundle):
    open_model(bundle, threads=1)
    path = bundle.folder / contract.PACKED_FILE
    before = path.stat()
    open_model(bundle, threads=1, calls={contract.FORWARD_LOSS})

    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_signature_that_was_not_opened_is_not_run(bundle, batches):
    model = open_model(bundle, threads=1, calls={contract.FORWARD_LOSS})
    model.initialize()
    model.loss(batches)
    with pytest.raises(AssertionError, match=contract.PERTURB_AND_UPDATE):
        model.perturb(1, 0.1)


def test_the_buckets_of_the_data_are_enough_for_its_batches(bundle, tmp_path):
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(40, seed=3)), bundle)
    batches = [
        batch for n in range(0, 40, 3) for batch in batches_of(data, bundle, range(n, n + 1))
    ]
    batches += batches_of(data, bundle, range(40))
    buckets = data.buckets(bundle.lengths)

    assert {batch.tokens for batch in batches} == buckets
    assert len(bundle.lengths) > 1
    least, longest = bundle.lengths[0], bundle.lengths[-1]
    calls = contract.in_buckets({contract.FORWARD_LOSS, contract.DECAY}, [longest])
    assert calls == {contract.forward_loss_for(longest), contract.DECAY}
    model = _ready(bundle, calls)
    batch = next(batch for batch in batches if batch.tokens == longest)
    assert np.isfinite(model.loss([batch]))
    with pytest.raises(AssertionError, match=contract.forward_loss_for(least)):
        model.forward(replace(batch, tokens=least))


def test_a_part_works_where_this_python_cannot_map_bytes(bundle, batches, monkeypatch):
    expected = mezo(_ready(bundle, {contract.FORWARD_LOSS, contract.PERTURB_AND_UPDATE}), batches)
    monkeypatch.setattr(mapped_bytes, "HEADER", struct.Struct("nnPnn"))

    assert part_of(bundle.model_path, {contract.FORWARD_LOSS}) is None
    model = _ready(bundle, {contract.FORWARD_LOSS, contract.PERTURB_AND_UPDATE})
    assert mezo(model, batches) == expected


def _ready(bundle, calls):
    model = open_model(bundle, threads=1, calls=calls)
    model.initialize()
    return model


def test_a_part_takes_the_memory_of_its_operators(bundle):
    script = """
import os
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.host.memory import read_status
bundle = read_bundle(os.environ["BUNDLE"])
open_model(bundle, threads=1, calls=())  # loads the library, and packs
growths = []
models = []
for calls in ((), None):
    before = read_status()[0]
    models.append(open_model(bundle, threads=1, calls=calls))
    growths.append(read_status()[0] - before)
print(*growths)
"""
    part, whole = map(int, python(script, BUNDLE=str(bundle.folder)).stdout.split())
    assert part < whole / 4


@pytest.mark.parametrize("content", [b"", b"no model", bytes(4096), probe_model()[:700]])
def test_a_file_that_is_no_model_is_refused_by_the_engine(content, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot open it"):
        CompiledEngine(path, 1, None, calls={"read"})


def test_signatures_are_taken_out_and_what_they_ran_is_emptied():
    data = bytearray(probe_model())
    keep_signatures(memoryview(data), lambda name: name == "read")

    assert _signatures(data) == {"read"}
    assert _signatures(probe_model()) == {"read", "write"}
    assert _operators(probe_model()) > _operators(data) > 0


def _schema(data):
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(data), 0))


def _signatures(data):
    return {signature.signatureKey.decode() for signature in _schema(data).signatureDefs}


def _operators(data):
    return sum(len(subgraph.operators or ()) for subgraph in _schema(data).subgraphs)


def test_values_lie_behind_the_flatbuffer(bundle):
    data = bundle.model_path.read_bytes()
    first = min(variable.offset for variable in bundle.variables)
    offset = values_offset(memoryview(data))

    assert 0 < offset <= first
    assert offset % 4096 == 0


def test_bytes_are_a_files_and_change_alone(tmp_path):
    path, values = tmp_path / "file", np.arange(20_000, dtype=np.uint8).tobytes()
    path.write_bytes(values)
    file = MappedBytes(path)

    assert file.content == values and hash(file.content) == hash(values)
    file.writable(8)[:4] = b"else"
    assert file.content == b"else" + values[4:]
    assert path.read_bytes() == values


def test_a_mapping_ends_when_nothing_holds_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"values" * 1000)
    file = MappedBytes(path)
    content = file.content
    file.close()
    assert content[:6] == b"values" and _is_mapped(path)
    del content
    file.close()
    assert not _is_mapped(path)
    file.close()


def test_an_engine_that_ends_leaves_no_mapping(bundle):
    model = open_model(bundle, threads=1, calls={contract.FORWARD_LOSS})
    assert _is_mapped(bundle.model_path.resolve())
    del model
    assert not _is_mapped(bundle.model_path.resolve())


def _is_mapped(path):
    with open("/proc/self/maps") as file:
        return any(line.rstrip().endswith(str(path)) for line in file)


def test_pages_that_were_changed_are_not_dropped(bundle, batches):
    calls = contract.BASIC | {contract.FORWARD_LOSS, contract.PERTURB_AND_UPDATE}
    engine = CompiledEngine(bundle.model_path, 1, None, calls)
    part = engine._part
    assert part is not None
    before = part.content[: 1 << 14]
    engine.release_file_pages()

    assert part.content[: 1 << 14] == before
    model = Model(bundle, engine)
    model.initialize()
    assert np.isfinite(mezo(model, batches))


def test_an_interpreter_opens_a_part_with_the_bits_of_the_whole(golden_bundle, tmp_path, engine):
    path = write_tsv(tmp_path / "train.tsv", rows(14, seed=1))
    batches = batches_of(load_dataset(path, golden_bundle), golden_bundle, range(14))
    results, opened = [], []
    for calls in (None, {contract.FORWARD_LOSS, contract.PERTURB_AND_UPDATE}):
        model = open_model(golden_bundle, engine=engine, threads=1, calls=calls)
        model.initialize()
        results.append((mezo(model, batches), state_of(model), model.engine.describe()))
        opened.append(set(model.engine._interpreter.get_signature_list()))

    assert results[0] == results[1]
    assert contract.PERTURB_AND_DECAY in opened[0] - opened[1]
    with pytest.raises(AssertionError, match=contract.PERTURB_AND_DECAY):
        model.perturb(1, 0.1, decay=0.5)
