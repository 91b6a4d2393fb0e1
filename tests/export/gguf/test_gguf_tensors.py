"""Values of GGUF tensors: every quantisation, and what llama.cpp has changed."""

import numpy as np
import pytest

pytestmark = pytest.mark.desktop
KINDS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
ROWS, COLUMNS = 37, 512


def blocks(kind):
    """Returns rows of random blocks whose scales, float16, are small numbers: [ROWS, bytes]."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    width, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (ROWS * COLUMNS // width, size), np.uint8)
    scales = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_0": (0,), "Q5_0": (0,)}
    for at in scales.get(kind, (0,) if kind == "Q8_0" else (0, 2)):
        small = rng.uniform(0.001, 0.1, len(data)).astype(np.float16)
        data[:, at : at + 2] = small.view(np.uint8).reshape(-1, 2)
    return data.reshape(ROWS, -1)


def write_tensor(path, data, kind):
    """Writes a file with one tensor "x"."""
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_tensor("x", data, raw_dtype=GGMLQuantizationType[kind])
    for step in ("write_header_to_file", "write_kv_data_to_file", "write_tensors_to_file", "close"):
        getattr(writer, step)()


def read_tensor(path):
    from pocketllm.export.checkpoint.gguf.header import read_header
    from pocketllm.export.checkpoint.gguf.tensors import gguf_checkpoint

    return gguf_checkpoint(read_header(path), "llama", {"x.weight": "x"}, {}).read("x.weight")


def six_bits(block):
    """Dequantises one block of Q6_K as ggml's dequantize_row_q6_K does, number by number."""
    low, high, scales = block[:128], block[128:192], block[192:208].view(np.int8)
    scale = float(block[208:210].view(np.float16)[0])
    values = np.empty(256)
    for half in range(2):
        ql, qh, sc = low[64 * half :], high[32 * half :], scales[8 * half :]
        for i in range(32):
            bits = (
                (ql[i] & 15) | ((qh[i] & 3) << 4),
                (ql[i + 32] & 15) | ((qh[i] >> 2 & 3) << 4),
                (ql[i] >> 4) | ((qh[i] >> 4 & 3) << 4),
                (ql[i + 32] >> 4) | ((qh[i] >> 6 & 3) << 4),
            )
            for quarter, number in enumerate(bits):
                at = 128 * half + 32 * quarter + i
                values[at] = scale * sc[i // 16 + 2 * quarter] * (int(number) - 32)
    return values


def four_bits(block):
    """Dequantises one block of Q4_K as ggml's dequantize_row_q4_K does, number by number."""
    scale, least = (float(block[at : at + 2].view(np.float16)[0]) for at in (0, 2))
    packed, numbers = block[4:16].astype(int), block[16:144]
    values = []
    for group in range(8):
        if group < 4:
            factor, offset = packed[group] & 63, packed[group + 4] & 63
        else:
            factor = (packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4)
            offset = (packed[group + 4] >> 4) | (packed[group] >> 6 << 4)
        some = numbers[32 * (group // 2) : 32 * (group // 2) + 32]
        some = some >> 4 if group % 2 else some & 15
        values += [scale * factor * int(number) - least * offset for number in some]
    return np.array(values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_tensor_is_read_in_pieces_as_a_whole(kind, tmp_path, monkeypatch):
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    from pocketllm.export.checkpoint.gguf import tensors

    monkeypatch.setattr(tensors, "CHUNK", 5 * COLUMNS)
    data = blocks(kind)
    write_tensor(tmp_path / "x.gguf", data, kind)
    values = read_tensor(tmp_path / "x.gguf")
    assert values.dtype == np.float32 and np.isfinite(values).all()
    np.testing.assert_array_equal(values, dequantize(data, GGMLQuantizationType[kind]))


@pytest.mark.parametrize("kind, size, formula", [("Q6_K", 210, six_bits), ("Q4_K", 144, four_bits)])
def test_a_block_has_the_values_of_ggmls_formula(kind, size, formula, tmp_path):
    data = blocks(kind)
    write_tensor(tmp_path / "x.gguf", data, kind)
    values = read_tensor(tmp_path / "x.gguf").reshape(-1, 256)
    for at, block in enumerate(data.reshape(-1, size)[:5]):
        np.testing.assert_allclose(values[at], formula(block), rtol=1e-5, atol=1e-6)


def test_numbers_that_are_not_quantised_are_read_as_they_are(tmp_path):
    numbers = np.array([[0.5, -1.25, 3e-5], [65504, -0.0, 1]])
    for kind, dtype in {"F32": np.float32, "F16": np.float16, "F64": np.float64}.items():
        write_tensor(tmp_path / f"{kind}.gguf", numbers.astype(dtype), kind)
        expected = numbers.astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(read_tensor(tmp_path / f"{kind}.gguf"), expected)


@pytest.mark.parametrize("theta, count", [(5e5, 32), (5e5, 64), (1e4, 16), (100.0, 4), (1e6, 40)])
@pytest.mark.parametrize(
    "factor, low, high, original",
    [(32.0, 1.0, 4.0, 8192), (8.0, 1.0, 4.0, 8192), (4.0, 1.0, 4.0, 32), (6.0, 2.0, 3.5, 1000)],
)
def test_settings_of_llama_3s_rope_are_found_from_its_factors(
    factor, low, high, original, theta, count, tmp_path
):
    from pocketllm.export.checkpoint.gguf.rope import llama3_factors, llama3_scaling

    settings = {
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }
    wavelengths = 2 * np.pi * theta ** (np.arange(count) / count)
    factors = llama3_factors(wavelengths, settings).astype(np.float32)
    if factors.max() == 1:
        return  # no frequency is slow enough to be scaled
    recovered = llama3_scaling(factors, theta, tmp_path)
    again = llama3_factors(wavelengths, recovered)
    np.testing.assert_allclose(again, factors, rtol=1e-5)
    if (factor, low, high, original) == (32.0, 1.0, 4.0, 8192) and count > 16:
        assert recovered == {"rope_type": "llama3", **settings}
