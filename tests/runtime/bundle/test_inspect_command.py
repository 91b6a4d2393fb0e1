"""`pocketllm inspect`: signatures and slices in lines that a person can read."""

import json
import math
import re

import pytest
from bundle_json import rewrite
from small_runs import pocketllm

KEYS = {
    "bundle", "model_name", "model_commit", "style", "architecture", "tied_decoder", "config",
    "task", "labels", "words", "scoring", "option_tokens", "word_ids", "parameters", "batch_size",
    "lengths", "noise", "signatures", "files", "checksum", "trained_parameters", "tune", "base",
    "lora", "context",
}  # fmt: skip


def inspect(bundle, *flags):
    """Returns the lines that the command prints."""
    done = pocketllm("inspect", f"--bundle={bundle.folder}", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def bytes_of(bundle):
    """Returns the bytes of all variables: float32."""
    return sum(4 * math.prod(variable.shape) for variable in bundle.variables)


def test_one_slice_is_named_without_a_range(golden_bundle, tmp_path):
    assert golden_bundle.slices == 1
    size = f"{len(golden_bundle.variables)} variables, {bytes_of(golden_bundle):,} B"

    lines = inspect(golden_bundle, f"--json={tmp_path / 'told.json'}")

    assert lines[-3:] == [
        "  initialize_0() -> done: the initial values",
        f"  read_0() -> the trainable state: {size}",
        f"  write_0(what read gives: {size}) -> done",
    ]
    assert "  decay(factor float32[1]) -> done float32[1]" in lines
    assert set(json.loads((tmp_path / "told.json").read_text())) == KEYS


@pytest.mark.desktop
def test_several_slices_are_named_from_the_first_to_the_last(chunked_bundle):
    last = chunked_bundle.slices - 1
    assert last > 2
    size = f"{len(chunked_bundle.variables)} variables, {bytes_of(chunked_bundle):,} B"

    assert inspect(chunked_bundle)[-3:] == [
        f"  initialize_0 … initialize_{last}() -> done: the initial values",
        f"  read_0 … read_{last}() -> the trainable state: {size}",
        f"  write_0 … write_{last}(what read gives: {size}) -> done",
    ]


@pytest.mark.desktop
def test_the_moments_are_two_lines(make_checkpoint, make_bundle):
    bundle = make_bundle(make_checkpoint(), lengths=(16,), kind="lora", adam=True)
    assert len(bundle.moment_readers) == 1
    values = 2 * sum(math.prod(variable.shape) for variable in bundle.variables)
    size = f"{len(bundle.moments)} variables, {4 * values:,} B"

    assert inspect(bundle)[-5:-3] == [
        f"  adam_read_0() -> the moments: {size}",
        f"  adam_write_0(what adam_read gives: {size}) -> done",
    ]


@pytest.mark.parametrize(
    "name", ["golden_bundle", pytest.param("chunked_bundle", marks=pytest.mark.desktop)]
)
def test_slices_lists_every_variable_once_with_its_shape(name, request):
    bundle = request.getfixturevalue(name)
    lines = inspect(bundle, "--slices")

    lines = lines[lines.index("slices") + 1 :]
    headings = [line for line in lines if re.match(r"  \d", line)]
    expected = [f"    {v.name} float32{list(v.shape)}" for v in bundle.variables]
    assert [line for line in lines if line not in headings] == expected
    assert [line.split(":")[0] for line in headings] == [f"  {i}" for i in range(bundle.slices)]
    sizes = [re.fullmatch(r"  \d+: (\d+) variables?, ([\d,]+) B", line) for line in headings]
    assert sum(int(size[1]) for size in sizes) == len(bundle.variables)
    assert sum(int(size[2].replace(",", "")) for size in sizes) == bytes_of(bundle)


def test_a_slice_without_its_signature_is_an_input_error(golden_bundle, tmp_path):
    for path in golden_bundle.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rewrite(tmp_path, lambda values: values["signatures"].pop("read_0"))

    done = pocketllm("inspect", f"--bundle={tmp_path}")

    assert done.returncode == 2 and done.stderr.count("\n") == 1
    complaint = "not a valid bundle (no signature 'read_0'); export the bundle again"
    assert f"{tmp_path / 'bundle.json'}: {complaint}" in done.stderr
