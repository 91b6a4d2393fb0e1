"""A GGUF file through the commands: export, train, evaluate, replay to a checkpoint."""

import json

import numpy as np
import pytest
from gguf_files import CHAT_TEMPLATE, write_plain_llama
from small_runs import complaint, pocketllm

pytestmark = pytest.mark.desktop
ROWS = "sentence\tlabel\n" + "a fine film\t1\na dull bore\t0\n" * 4
TEXTS = (
    "a great film",
    " hello\n\n there",
    "<|im_start|>user\nhi<|im_end|>",
    "日本 🙂 <think>",
    "",
)


def ended_well(*arguments):
    done = pocketllm(*arguments, timeout=600)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The GGUF file, a bundle of it, and two steps of a run."""
    folder = tmp_path_factory.mktemp("gguf")
    source, bundle, run = folder / "tiny.gguf", folder / "bundle", folder / "run"
    write_plain_llama(source, kind="Q8_0")
    rows = folder / "rows.tsv"
    rows.write_text(ROWS)
    ended_well(
        "export", f"--model={source}", "--task=sst2", f"--out={bundle}", "--lengths=64",
        "--batch_size=4",
    )  # fmt: skip
    ended_well("train", f"--bundle={bundle}", f"--train={rows}", f"--run={run}", "--steps=2")
    return source, bundle, run, rows


def test_a_run_is_evaluated(trained):
    _, bundle, run, rows = trained
    done = ended_well("eval", f"--bundle={bundle}", f"--data={rows}", f"--run={run}")
    assert "8 examples" in done.stdout


def test_replay_writes_a_checkpoint_that_transformers_loads(trained, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pocketllm.export.checkpoint.gguf.model import read_gguf

    source, bundle, run, _ = trained
    out = tmp_path / "out"
    ended_well("replay", f"--bundle={bundle}", f"--run={run}", f"--out={out}", "--at_step=0")
    model, info = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    weights = read_gguf(source).open_weights()
    tensors = model.state_dict()
    for name in weights.shapes:
        np.testing.assert_array_equal(tensors[name].numpy(), weights.read(name), name)
    ours = AutoTokenizer.from_pretrained(out)
    theirs = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    assert [ours(text).input_ids for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    turns = [{"role": "user", "content": "Hi"}]
    assert ours.chat_template == CHAT_TEMPLATE
    assert ours.apply_chat_template(turns) == theirs.apply_chat_template(turns)
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (1, 2, 2)
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == 2
    assert json.loads((out / "pocketllm.json").read_text())["base_model"] == "Tiny"


def test_a_cut_file_ends_the_export_with_one_line_and_writes_nothing(tmp_path):
    cut = tmp_path / "cut.gguf"
    write_plain_llama(cut)
    cut.write_bytes(cut.read_bytes()[:3000])
    done = pocketllm("export", f"--model={cut}", "--task=sst2", f"--out={tmp_path / 'out'}")
    complaint(done, 2, f"{cut}: cut, it ends inside ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.gguf"]


def test_a_folder_with_a_gguf_file_alone_says_to_give_the_file(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    done = pocketllm("export", f"--model={tmp_path}", "--task=sst2", f"--out={tmp_path / 'out'}")
    complaint(done, 2, "tiny.gguf: a model of llama.cpp; give the file itself (--model=FILE.gguf)")


def test_a_source_keeps_its_small_files_while_it_lives(tmp_path):
    from pocketllm.export.sources.kinds import source_of

    write_plain_llama(tmp_path / "tiny.gguf")
    source = source_of(tmp_path / "tiny.gguf")
    folder = source.tokenizer
    small_files = source.small_files()
    assert {path.name for path in folder.iterdir()} == set(small_files.files)
    assert (small_files.name, small_files.gguf) == ("Tiny", "tiny.gguf")
    del source
    assert not folder.exists()
