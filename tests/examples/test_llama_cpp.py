"""llama.cpp runs what the examples write: the same ids, probabilities and greedy texts."""

import json
import subprocess
import sys
from pathlib import Path
from unicodedata import normalize

import llama_cpp_cases
import llama_node
import numpy as np
import pytest
import smollm2
from gguf_files import AWKWARD
from small_runs import pocketllm

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

PROBE = Path(llama_node.__file__).with_name("llama_cpp_probe.js")
HOUSEHOLD = llama_cpp_cases.EXAMPLES.parent / "persona" / "household.jsonl"
STEPS, NEW, TIE = 12, 32, 1e-3
OTHERS = (
    "What is the capital of Italy?", "How do I boil an egg?", "Write a poem about rain.",
    "What is 7 times 8?", "Who wrote Hamlet?", "Count from 1 to 12.",
)  # fmt: skip


def ended_well(*command) -> str:
    """Runs an example or a command; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(name, **flags) -> None:
    done = pocketllm(name, *(f"--{key}={value}" for key, value in flags.items()), timeout=900)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", llama_cpp_cases.CASES)
def test_llama_cpp_has_the_ids_and_the_probabilities_of_transformers(case, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llama_node.needed()
    checkpoint = llama_cpp_cases.write(tmp_path / "checkpoint", case)
    ended_well(
        llama_cpp_cases.EXAMPLES / "to_gguf.py", checkpoint, tmp_path / "out.gguf", "--type=f32"
    )
    # llama.cpp leaves out the normalizer of Qwen's tokenizer, which composes letters.
    texts = [t for t in AWKWARD if t and ("qwen" not in case or t == normalize("NFC", t))]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    llama_node.node(PROBE, *(tmp_path / name for name in ("out.gguf", "texts.json", "out.json")))
    results = json.loads((tmp_path / "out.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)

    assert len(results) == len(texts) > 50
    for text, result in zip(texts, results):
        assert result["ids"] == tokenizer(text, add_special_tokens=False).input_ids, text
        ids = tokenizer(text).input_ids
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].double()
        expected = torch.softmax(logits, -1).sort(descending=True).values.numpy()
        np.testing.assert_allclose(result["probabilities"], expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A few steps of LoRA on SmolLM2 in fp32; its folder, after all that the guide does with it."""
    llama_node.needed()
    gguf, folder = smollm2.needed(), tmp_path_factory.mktemp("learnt")
    rows = HOUSEHOLD.read_text(encoding="utf-8").splitlines()[:16]
    (folder / "train.jsonl").write_text("\n".join(rows), encoding="utf-8")
    chats = [{"messages": [{"role": "user", "content": text}]} for text in OTHERS]
    questions = [*rows[:6], *map(json.dumps, chats)]
    (folder / "questions.jsonl").write_text("\n".join(questions), encoding="utf-8")
    bundle, run = folder / "bundle", folder / "run"
    command(
        "export",
        model=gguf,
        task="chat",
        tune="lora",
        optimizers="mezo,adam",
        lengths=56,
        out=bundle,
    )
    command(
        "train", bundle=bundle, train=folder / "train.jsonl", run=run, optimizer="adam",
        steps=STEPS, lr=2e-3,
    )  # fmt: skip
    command(
        "generate", bundle=bundle, run=run, data=folder / "questions.jsonl", max_new_tokens=NEW,
        json=folder / "ours.json",
    )  # fmt: skip
    command("replay", bundle=bundle, run=run, out=folder / "adapter")
    examples = llama_cpp_cases.EXAMPLES
    ended_well(examples / "merge.py", bundle, folder / "adapter", gguf, folder / "merged")
    ended_well(examples / "to_gguf.py", folder / "merged", folder / "out.gguf", "--type=f32")
    arguments = [folder / name for name in ("out.gguf", "questions.jsonl", "theirs.json")]
    llama_node.node(examples / "ask.js", *arguments, NEW)
    return folder


def test_one_adapter_writes_the_same_greedy_texts_in_all_three(learnt):
    """A difference must be a tie of two logits, which is printed."""
    from desktop_child import in_child
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(learnt / "merged")
    questions = (learnt / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    chats = [json.loads(line)["messages"] for line in questions]
    ours = json.loads((learnt / "ours.json").read_text(encoding="utf-8"))
    theirs = json.loads((learnt / "theirs.json").read_text(encoding="utf-8"))
    prompts = [
        tokenizer.apply_chat_template(
            [m for m in chat if m["role"] != "assistant"], tokenize=False,
            add_generation_prompt=True,
        )
        for chat in chats
    ]  # fmt: skip
    ids = [tokenizer(prompt).input_ids for prompt in prompts]
    our_ids = [answer["token_ids"] for answer in ours]
    unlike = [n for n in range(len(chats)) if theirs[n]["text"] != ours[n]["text"]]
    their_ids = [ended(tokenizer, theirs[n]["text"]) for n in unlike]
    # Where llama.cpp's text is that of `generate`, one comparison serves both.
    gaps = in_child(
        "smollm2_reference.differences", learnt / "merged", ids + [ids[n] for n in unlike],
        our_ids + their_ids,
    )  # fmt: skip
    print(f"texts that differ from transformers', by the gap of two logits: {gaps}")

    assert len(ours) == len(theirs) == len(chats) == 12
    assert [answer["prompt"] for answer in theirs] == prompts
    assert all(gap is None or gap < TIE for gap in gaps)
    assert sum(map(len, our_ids)) > 100


def ended(tokenizer, text: str) -> list[int]:
    """Returns the ids of a text that llama.cpp has written, with the token that ended it."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return [*ids, tokenizer.eos_token_id] if len(ids) < NEW else ids
