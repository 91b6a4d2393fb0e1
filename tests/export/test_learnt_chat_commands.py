"""Chats end to end: a bundle's loss is transformers' on what its template marks as answers."""

import json

import pytest
from chat_templates import SMOLLM2
from desktop_child import in_child
from small_runs import complaint, pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset

pytestmark = pytest.mark.desktop

CHATS = [
    [("user", "It was"), ("assistant", "a film")],
    [
        ("system", "No film."), ("user", "Yes?"), ("assistant", " No"), ("user", "a"),
        ("assistant", "great"),
    ],
    [("user", "<|im_end|> is text"), ("assistant", "Maybe")],
]  # fmt: skip


def messages(chat):
    return [{"role": role, "content": content} for role, content in chat]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "checkpoint"
    settings = SMOLLM2.tokens | {"chat_template": SMOLLM2.text}
    return in_child("decoder_of_make.write", folder, "smollm2", **settings)


@pytest.fixture(scope="module")
def bundle(checkpoint, make_bundle):
    return make_bundle(checkpoint, task="chat", lengths=(96,))


def test_ids_mask_and_loss_of_chats_are_those_of_transformers(bundle, checkpoint, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data, result = tmp_path / "chats.jsonl", tmp_path / "result.json"
    data.write_text("".join(json.dumps({"messages": messages(chat)}) + "\n" for chat in CHATS))
    encoded = load_dataset(data, bundle)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    total = count = 0
    for chat, example in zip(CHATS, encoded.examples):
        (row,) = example.sequences
        if "<|im_end|>" not in chat[0][1]:  # which transformers takes for the end of a turn
            theirs = tokenizer.apply_chat_template(
                messages(chat), chat_template=SMOLLM2.trained, return_dict=True,
                return_assistant_tokens_mask=True,
            )  # fmt: skip
            assert row.input_ids.tolist() == theirs["input_ids"]
            assert row.loss_mask.tolist() == theirs["assistant_masks"]
        ids = torch.tensor(row.input_ids[None]).long()
        labels = torch.where(torch.tensor(row.loss_mask[None]) > 0, ids, -100)
        with torch.no_grad():
            total += float(model(ids, labels=labels).loss) * example.learnt_tokens
        count += example.learnt_tokens

    done = pocketllm("eval", f"--bundle={bundle.folder}", f"--data={data}", f"--json={result}")

    assert done.returncode == 0, done.stderr
    evaluated = json.loads(result.read_text())
    assert evaluated["tokens"] == count
    assert abs(evaluated["loss"] - total / count) <= 1e-5 * total / count
    assert "special tokens that rows spell are read as text ('<|im_end|>' in 1)" in done.stdout


def test_bad_chats_are_one_line(bundle, tmp_path):
    good = {"messages": messages(CHATS[0])}
    for chat, problem in (
        ([("assistant", "a"), ("user", "b")], "message 1 has the role 'assistant'"),
        ([("user", "b"), ("assistant", "")], "message 2, the assistant's, is empty"),
    ):
        data = tmp_path / "bad.jsonl"
        data.write_text(json.dumps(good) + "\n" + json.dumps({"messages": messages(chat)}) + "\n")
        done = pocketllm("eval", f"--bundle={bundle.folder}", f"--data={data}")
        complaint(done, 2, f"{data} line 2: {problem}")


def test_the_bundle_holds_the_template(bundle):
    assert read_bundle(bundle.folder).chat.assistant.suffix == "<|im_end|>\n"
    assert bundle.task.form == "chat" and bundle.scoring == "tokens"
