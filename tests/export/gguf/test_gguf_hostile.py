"""GGUF files whose counts or types lie are refused at once; a killed export's folder is removed."""

import json
import os

import numpy as np
import pytest
from checkpoint_files import refusal
from gguf_files import BYTE, CONTROL, NORMAL, UNKNOWN, files_of, tokenizer_of, write_plain_llama
from small_runs import python

pytestmark = pytest.mark.desktop


@pytest.mark.parametrize("layers", [1_000_000, 2_000_000_000])
def test_an_absurd_number_of_layers_is_refused_and_not_gone_through(layers, tmp_path):
    write_plain_llama(tmp_path / "x.gguf", {"llama.block_count": layers})

    line = refusal(files_of, tmp_path / "x.gguf")

    assert "without tensors blk.1.attn_norm.weight, blk.1.attn_q.weight, " in line
    assert f" and {9 * (layers - 1) - 3} more, which a model of LlamaForCausalLM with" in line


@pytest.mark.parametrize("key", ["expert_count", "attn_logit_softcapping", "logit_scale"])
def test_a_list_where_one_number_is_expected_is_refused(key, tmp_path):
    write_plain_llama(tmp_path / "x.gguf", {f"llama.{key}": [1, 2]})

    line = refusal(files_of, tmp_path / "x.gguf")

    assert f"metadata llama.{key} is array([1, 2], dtype=int32), only 0" in line


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"rope.scaling.factor": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        ({"rope.scale_linear": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        ({"rope.scaling.factor": 0.0}, None),
        ({"rope.scaling.factor": 1.0}, None),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, None),
        (
            {"rope.scaling.type": "linear", "rope.scaling.factor": 0.0},
            {"rope_type": "linear", "factor": 1.0},
        ),
    ],
)
def test_a_factor_without_a_kind_is_a_linear_ropes_as_in_llama_cpp(metadata, expected, tmp_path):
    keys = {f"llama.{key}": value for key, value in metadata.items()}
    write_plain_llama(tmp_path / "x.gguf", keys)

    assert json.loads(files_of(tmp_path / "x.gguf")["config.json"])["rope_scaling"] == expected


def test_what_a_killed_export_left_in_the_temporary_folder_is_removed(tmp_path):
    write_plain_llama(tmp_path / "x.gguf")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / ".pocketllm-gguf-of-others").mkdir()
    opened = (
        "import os, signal\nfrom pathlib import Path\n"
        "from pocketllm.export.sources.kinds import source_of\n"
        f"first, second = (source_of({str(tmp_path / 'x.gguf')!r}) for _ in range(2))\n"
        "assert first.small_files().files == second.small_files().files\n"
    )

    python(opened + "os.kill(os.getpid(), signal.SIGKILL)", TMPDIR=str(temporary))
    assert len(os.listdir(temporary)) == 3

    done = python(opened, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert os.listdir(temporary) == [".pocketllm-gguf-of-others"]


def test_a_head_count_beyond_the_rows_is_what_is_named(tmp_path):
    write_plain_llama(tmp_path / "x.gguf", {"llama.attention.head_count": 1 << 30})

    line = refusal(files_of, tmp_path / "x.gguf")

    assert f"blk.0.attn_q.weight has 32 rows for {1 << 30} heads" in line


def test_a_token_of_megabytes_is_not_cut_at_every_place(tmp_path):
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", "a", "b", "▁a", "ab", "▁ab", "c", "x" * 3_000_000]
    metadata = {
        "model": "llama", "pre": None, "merges": None, "tokens": tokens,
        "token_type": [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * 8],
        "scores": [-float(number) for number in range(len(tokens))],
    }  # fmt: skip
    keys = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    write_plain_llama(tmp_path / "x.gguf", keys)

    tokenizer = tokenizer_of(tmp_path / "x.gguf")

    assert tokenizer.encode("ab", add_special_tokens=False).tokens == ["▁ab"]


@pytest.mark.parametrize("theta", [1e38, 1.0, 1e-30])
def test_rope_factors_beside_an_absurd_theta_are_refused(theta, tmp_path):
    factors = {"rope_freqs.weight": np.array([1, 1, 2, 4], np.float32)}
    write_plain_llama(tmp_path / "x.gguf", {"llama.rope.freq_base": theta}, factors)

    assert "factors that are not those of Llama 3's rope" in refusal(files_of, tmp_path / "x.gguf")
