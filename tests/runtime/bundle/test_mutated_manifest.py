"""Any value of bundle.json is changed or removed: it is read and shown, or refused in one line."""

import contextlib
import copy
import hashlib
import io
import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands import inspect
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import json_bytes

EXTREMES = (
    1e300, -1, -1.5, 0, 10**4000, 2**31, 2**63, 10**12, float("nan"), float("inf"), -float("inf"),
    None, True, "", "\0", "x", "int32", [], [None], [-1], [1e300], [2**62, 2**62], [2] * 5000, {},
    {"a": 1}, [["a", 1]], [[]],
)  # fmt: skip
CONFORMANCE = Path(__file__).resolve().parents[2] / "conformance"
HALF = "\ud800"  # of a character: only an escape can write it
ORIGINALS = ("masked", "causal", "lora")


def places(value, at=()):
    """Yields the path of every value inside a JSON value."""
    yield at
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def originals(golden_bundle):
    """{name: (its folder, bundle.json's values)}: both styles, and adapters."""
    folders = {"masked": golden_bundle.folder, "causal": CONFORMANCE / "causal"}
    sources = {name: (folder, read(folder)) for name, folder in folders.items()}
    lora = {"rank": 4, "alpha": 8.0, "targets": ["query", "value"], "extras": "none"}
    values = sources["masked"][1] | {"tune": "lora", "lora": lora}
    return sources | {"lora": (golden_bundle.folder, values)}


def read(folder):
    return json.loads((folder / "bundle.json").read_text())


@pytest.fixture(scope="module")
def resealed(originals, tmp_path_factory):
    """Returns a function: writes values with their right checksum beside a bundle's files."""
    base = tmp_path_factory.mktemp("resealed")
    for name, (folder, _) in originals.items():
        shutil.copytree(folder, base / name)

    def reseal(name, values):
        path = base / name / "bundle.json"
        try:
            write_with_checksum(path, values)
        except UnicodeEncodeError:
            text = json.dumps(values | {"checksum": "0" * 64}).encode()
            digest = hashlib.sha256(text).hexdigest()
            path.write_bytes(text.replace(b"0" * 64, digest.encode()))
        return path.parent

    return reseal


def shown(folder):
    """Inspects as the command does with --json, in this process; None where it is refused."""
    output = io.TextIOWrapper(io.BytesIO(), "utf-8")
    flags = SimpleNamespace(bundle=str(folder), parameters=True, slices=True)
    try:
        with contextlib.redirect_stdout(output):
            result = inspect.run(flags)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return None
    json.loads(json_bytes(result), parse_constant=pytest.fail)
    assert result["batch_size"] >= 1 and result["lengths"]
    return result


def changed(values, where, replacement):
    """Returns a copy with another value at a place, or without it (`...`)."""
    values = copy.deepcopy(values)
    parent = values
    for key in where[:-1]:
        parent = parent[key]
    if replacement is ...:
        del parent[where[-1]]
    else:
        parent[where[-1]] = replacement
    return values


def test_the_originals_are_shown(originals, resealed):
    for name, (_, values) in originals.items():
        result = shown(resealed(name, values))
        assert result is not None and result["tune"] == values["tune"]


@settings(steady, max_examples=300)
@given(data=st.data())
def test_any_mutation_is_shown_or_refused_in_one_line(data, originals, resealed):
    name = data.draw(st.sampled_from(ORIGINALS))
    values = originals[name][1]
    where = data.draw(st.sampled_from([at for at in places(values) if at]))
    replacement = data.draw(
        st.sampled_from([..., HALF, *EXTREMES]) | json_values, label="replacement"
    )

    shown(resealed(name, changed(values, where, replacement)))


@pytest.mark.parametrize(
    "key", ["config", "lora", "files", "noise", "signatures", "frozen", "special_tokens", "lengths"]
)
def test_every_key_under_one_is_removed_and_set_to_extremes(key, originals, resealed):
    """Few places, all of them: a sample may miss the only one that matters."""
    values = originals["lora"][1]
    keys = [at for at in places(values[key]) if len(at) < 2]
    if key == "signatures":
        keys = [at for at in places(values[key]) if at[:1] in [(), ("read_0",), ("decay",)]][:9]
    for at in keys:
        for replacement in (..., *EXTREMES):
            shown(resealed("lora", changed(values, (key, *at), replacement)))


@pytest.mark.parametrize(
    ("where", "replacement", "problem"),
    [
        (("signatures", "read_0", "outputs", 0), 1e300, "outputs"),
        (("signatures", "read_0", "outputs", 0, 1), [None], "expected int"),
        (("signatures", "read_0", "outputs", 0, 1), 1, "expected list"),
        (("signatures", "read_0", "outputs", 0, 1), [-1], "impossible shape"),
        (("signatures", "read_0", "outputs", 0, 1), [2**31 - 1] * 3, "larger than any file"),
        (("signatures", "read_0", "outputs", 0, 0), {"a": 1}, "expected str"),
        (("signatures", "read_0", "outputs", 0, 0), "float33", "is of 'float33'"),
        (("signatures", "read_0", "inputs"), ..., ".inputs is None"),
        (("config", "num_attention_heads"), ..., "num_attention_heads"),
        (("config", "hidden_size"), -1, "not a positive size"),
        (("config", "layer_norm_eps"), float("nan"), "not JSON compliant"),
        (("model_name",), HALF, "surrogates not allowed"),
        (("batch_size",), 8.5, "batch_size is 8.5, expected int"),
        (("slices",), 10**4000, "no signature 'initialize_1'"),
        (("word_ids", 0), -1, "word_ids"),
        (("special_tokens", "mask"), 2**40, "special_tokens"),
        (("parameters", 0, "shape"), [1, 1], "values"),
        (("lora", "alpha"), "8", "lora.alpha"),
        (("lora", "targets"), [1], "lora.targets"),
    ],
    ids=itertools.count(),
)
def test_a_hostile_value_is_named(where, replacement, problem, originals, resealed):
    values = originals["lora"][1]
    path, at = [], values
    for key in where:  # 0 stands for the first entry of an object too
        path.append(next(iter(at)) if key == 0 and isinstance(at, dict) else key)
        at = at[path[-1]]

    with pytest.raises(InputError, match=r"bundle\.json: not a valid bundle \(") as caught:
        read_bundle(resealed("lora", changed(values, path, replacement)))

    assert problem in str(caught.value) and "\n" not in str(caught.value)
