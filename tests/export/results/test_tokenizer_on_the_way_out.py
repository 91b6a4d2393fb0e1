"""A checkpoint that `replay` wrote, used as its users do, predicts what `eval` counted."""

import json
import shutil

import numpy as np
import pytest
from small_runs import pocketllm, rows, write_tsv
from sources import OPT_TOKENIZERS

pytestmark = pytest.mark.desktop

WORDS = (" terrible", " great")


def test_the_written_tokenizer_and_model_give_evals_loss_and_accuracy(
    make_opt_checkpoint, tmp_path
):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = shutil.copytree(make_opt_checkpoint(), tmp_path / "source")
    for file, contents in OPT_TOKENIZERS["published"].items():
        (source / file).write_text(json.dumps(contents))
    examples = rows(12, seed=5)
    data, bundle, run = write_tsv(tmp_path / "d.tsv", examples), tmp_path / "b", tmp_path / "r"
    out, summary = tmp_path / "out", tmp_path / "eval.json"
    for command in (
        ["export", f"--model={source}", "--task=sst2", "--lengths=32", f"--out={bundle}"],
        ["train", f"--bundle={bundle}", f"--train={data}", f"--run={run}", "--steps=6",
         "--batch_size=4", "--lr=1e-2", "--eps=1e-2"],
        ["replay", f"--bundle={bundle}", f"--run={run}", f"--out={out}"],
        ["eval", f"--bundle={bundle}", f"--run={run}", f"--data={data}", f"--json={summary}"],
    ):  # fmt: skip
        done = pocketllm(*command)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(source, ignore_errors=True)  # the bundle has all that replay needs

    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    words = [tokenizer(word, add_special_tokens=False).input_ids[0] for word in WORDS]
    losses, right = [], 0
    for sentence, label in examples:
        encoded = tokenizer(f"{sentence} It was", return_tensors="pt")
        with torch.no_grad():
            logits = model.eval()(**encoded).logits[0, -1, words].double()
        losses.append(float(torch.nn.functional.cross_entropy(logits, torch.tensor(int(label)))))
        right += int(logits.argmax()) == int(label)
    result = json.loads(summary.read_text())
    assert result["accuracy"] == right / len(examples)
    assert result["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    inputs = tokenizer("a film It was", return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=3, do_sample=False).shape[1] > 4
