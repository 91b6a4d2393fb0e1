"""Checkpoint files to variables: every format and type gives the same float32 values."""

import numpy as np
import pytest
from checkpoint_files import (
    DECODER,
    DECODER_BIAS,
    EMBEDDINGS,
    refusal,
    save_pickled,
    save_pickled_before_torch_1_6,
    save_sharded,
    save_sharded_pickled,
    save_single,
    variables_in,
    weights_of,
)

pytest_plugins = ["checkpoint_files"]

pytestmark = pytest.mark.desktop

POOLER, POSITIONS = "roberta.pooler.dense.weight", "roberta.embeddings.position_ids"


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "save",
    [
        save_single,
        save_sharded,
        save_pickled,
        save_sharded_pickled,
        save_pickled_before_torch_1_6,
    ],
)
def test_every_format_and_type_gives_exactly_its_values(save, dtype, source, tensors):
    import torch

    stored = {name: values.to(getattr(torch, dtype)) for name, values in tensors.items()}
    save(source, stored)

    pairs = variables_in(weights_of(source))

    assert {variable.parameter.name for variable, _ in pairs} == set(tensors)
    for variable, values in pairs:
        expected = stored[variable.parameter.name].float().numpy()
        if variable.rows:
            expected = expected[slice(*variable.rows)]
        assert values.dtype == np.float32 and values.flags.c_contiguous
        assert values.shape == variable.shape
        np.testing.assert_array_equal(values, expected, err_msg=variable.name)
    chunks = [v.rows for v, _ in pairs if v.parameter.name == EMBEDDINGS]
    assert len(chunks) == 3 and chunks[0] == (0, 100) and chunks[2][1] == len(tensors[EMBEDDINGS])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(lambda torch, t: torch.nn.Parameter(t), id="parameter"),
        pytest.param(lambda torch, t: torch.nn.Parameter(t.bfloat16()), id="bfloat16 parameter"),
        pytest.param(lambda torch, t: t.T.contiguous().T if t.ndim == 2 else t, id="transposed"),
        pytest.param(lambda torch, t: t.to_sparse(), id="sparse"),
        pytest.param(lambda torch, t: torch.cat([t, t])[len(t) :], id="slice of a larger one"),
    ],
)
def test_every_kind_of_pytorch_tensor_is_its_values(kind, source, tensors):
    import torch

    stored = {name: kind(torch, values) for name, values in tensors.items()}
    save_pickled(source, stored)

    weights = weights_of(source)

    for parameter in weights.parameters:
        expected = stored[parameter.name].detach().to_dense().float().numpy()
        np.testing.assert_array_equal(weights.read(parameter), expected)
    assert {values.dtype for _, values in variables_in(weights)} == {np.dtype(np.float32)}


def test_a_pytorch_tensor_without_values_is_named(source, tensors):
    import torch

    save_pickled(source, tensors | {"lm_head.dense.bias": torch.empty(16, device="meta")})
    message = refusal(lambda: variables_in(weights_of(source)))
    assert "tensor lm_head.dense.bias has no values that can be read" in message


def test_an_extreme_bfloat16_keeps_its_bits(source, tensors):
    import torch

    extreme = [3.3895e38, -9.2e-41, 0.0, -0.0, 1.1755e-38]  # near the largest, a subnormal, zeros
    tensors["lm_head.dense.bias"][: len(extreme)] = torch.tensor(extreme)
    stored = {name: values.to(torch.bfloat16) for name, values in tensors.items()}
    save_single(source, stored)

    values = {v.name: x for v, x in variables_in(weights_of(source))}["lm_head.dense.bias"]

    expected = stored["lm_head.dense.bias"].float().numpy()
    assert values.tobytes() == expected.tobytes() and values[1] != 0


@pytest.mark.parametrize("save", [save_single, save_pickled])
@pytest.mark.parametrize("change, tied", [(None, True), ("equal", True), ("one value", False)])
def test_a_decoder_is_tied_when_it_is_absent_or_the_embeddings(save, change, tied, source, tensors):
    if change is not None:
        tensors[DECODER] = tensors[EMBEDDINGS].clone()
    if change == "one value":
        tensors[DECODER][-1, -1] += 1e-3
    save(source, tensors)

    weights = weights_of(source)

    assert weights.tied == tied
    assert (DECODER in {p.name for p in weights.parameters}) == (not tied)
    assert weights.ignored == ((DECODER,) if change == "equal" else ())


def test_what_the_loss_does_not_use_is_left_out_and_said(source, tensors):
    import torch

    tensors |= {
        POOLER: torch.full((16, 16), torch.nan),  # not even read
        "roberta.pooler.dense.bias": torch.zeros(16),
        POSITIONS: torch.arange(40)[None],  # int64
        DECODER_BIAS: tensors["lm_head.bias"].clone(),
    }
    save_single(source, tensors)

    weights = weights_of(source)

    assert set(weights.ignored) == {POOLER, "roberta.pooler.dense.bias", POSITIONS, "lm_head.bias"}
    names = {variable.parameter.name for variable, _ in variables_in(weights)}
    assert "lm_head.bias" in names and not names & {POOLER, POSITIONS, DECODER_BIAS}


@pytest.mark.parametrize(
    "names", [("lm_head.bias",), (DECODER_BIAS,), ("lm_head.bias", DECODER_BIAS)]
)
def test_the_heads_bias_is_the_one_transformers_adds(names, source, tensors):
    import torch
    from transformers import RobertaForMaskedLM

    tensors.pop("lm_head.bias")
    tensors |= {name: torch.randn(len(tensors[EMBEDDINGS])) for name in names}
    save_single(source, tensors)
    theirs = RobertaForMaskedLM.from_pretrained(source).lm_head.decoder.bias.detach().numpy()

    ours = {v.name: values for v, values in variables_in(weights_of(source))}["lm_head.bias"]

    np.testing.assert_array_equal(ours, theirs)
