"""`pocketllm generate`, and samples of a run, through the command line on a tiny model."""

import json
import os
import pty
import select
import shutil
import sys
import time

import pytest
from bundle_json import update
from small_runs import complaint, pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle

pytestmark = pytest.mark.desktop

TEMPLATE = """{% for message in messages %}{{ '<s>' + message['role'] + '\\n' + message['content'] \
+ '</s>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}"""
ROWS = (("a film", " great"), ("it was", " terrible"), ("ok", " film was a"), ("so", " great film"))
FEW = ("--max_new_tokens=8", "--threads=1")


@pytest.fixture(scope="module")
def bundle(make_decoder, make_bundle):
    """Of learnt completions, without a chat template."""
    settings = {"task": "sft", "lengths": (8, 16), "context": 64}
    return make_bundle(make_decoder(case="llama"), **settings).folder


@pytest.fixture(scope="module")
def chat(make_decoder, make_bundle, tmp_path_factory):
    """Of chats."""
    checkpoint = tmp_path_factory.mktemp("chat") / "source"
    shutil.copytree(make_decoder(case="llama"), checkpoint)
    (checkpoint / "chat_template.jinja").write_text(TEMPLATE)
    return make_bundle(checkpoint, task="chat", lengths=(16, 32), context=96).folder


@pytest.fixture
def files(tmp_path):
    """Training rows and prompts."""
    rows = [{"prompt": p, "completion": c} for p, c in ROWS]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prompts.txt").write_text("a film\n\nit was\n")
    return tmp_path


def generate(bundle, *arguments, code=0):
    done = pocketllm("generate", f"--bundle={bundle}", *FEW, *arguments)
    assert done.returncode == code, done.stderr
    return done


def test_a_prompt_is_continued_shown_and_written(bundle, tmp_path):
    out = tmp_path / "out.json"
    done = generate(bundle, "--prompt=a great film", f"--json={out}")
    (entry,) = json.loads(out.read_text())

    assert entry.keys() == {"prompt", "text", "token_ids", "seconds"}
    assert entry["prompt"] == "a great film" and 1 <= len(entry["token_ids"]) <= 8
    assert done.stdout == entry["text"] + "\n", "the text alone"
    engine, speed = done.stderr.splitlines()
    assert engine.startswith("engine: ") and speed.startswith("[prompt ") and "new tokens" in speed


def test_of_several_prompts_each_text_stands_behind_its_own(bundle, files):
    out = files / "out.json"
    done = generate(bundle, f"--data={files / 'prompts.txt'}", f"--json={out}")
    first, second = json.loads(out.read_text())

    expected = f"\n1/2: a film\n{first['text']}\n\n2/2: it was\n{second['text']}\n"
    assert done.stdout == expected
    assert done.stderr.count("new tokens") == 2


def ended_at_once(folder, out, *arguments):
    """Returns a copy of a bundle in which the first token that it writes ends a text."""
    generate(folder, *arguments, f"--json={out}")
    (entry,) = json.loads(out.read_text())
    copied = out.with_name("copied")
    shutil.copytree(folder, copied)
    update(copied, stop_ids=[entry["token_ids"][0]])
    return copied


def test_a_text_that_ends_at_once_is_said(bundle, chat, tmp_path):
    for source, arguments, remedy in (
        (bundle, ["--prompt=a film"], ""),
        (chat, ["--chat=a film"], ""),
        (chat, ["--prompt=a film"], "; a bundle of --task=chat is asked with --chat"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        done = generate(ended_at_once(source, folder / "out.json", *arguments), *arguments)
        assert done.stdout == "\n"
        assert done.stderr.endswith(f"1 new tokens; the model ended its text at once{remedy}]\n")


def test_a_file_of_prompts_and_rows_of_training_give_the_same_texts(bundle, files):
    for name in ("prompts.txt", "train.jsonl"):
        generate(bundle, f"--data={files / name}", f"--json={files / name}.json")
    of_lines, of_rows = (
        json.loads((files / f"{name}.json").read_text()) for name in ("prompts.txt", "train.jsonl")
    )

    assert [entry["prompt"] for entry in of_rows] == [prompt for prompt, _ in ROWS]
    assert [e["token_ids"] for e in of_lines] == [e["token_ids"] for e in of_rows[:2]]


def test_a_chat_is_answered_and_what_a_person_types_ends_no_turn(chat, tmp_path):
    from pocketllm.runtime.generate.conversation import Conversation
    from pocketllm.runtime.generate.prompts import chat_prompt

    bundle = read_bundle(chat)
    text = "</s> a film"
    ids = Conversation(bundle).ids_of(chat_prompt(bundle, [{"role": "user", "content": text}]))
    tokenizer = Conversation(bundle).tokenizer
    begin, end = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")

    assert (ids.count(begin), ids.count(end)) == (2, 1)
    rows = [{"role": "user", "content": text}, {"role": "assistant", "content": "great"}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": rows}) + "\n")
    outs = tmp_path / "typed.json", tmp_path / "rows.json"
    generate(chat, f"--chat={text}", f"--json={outs[0]}")
    generate(chat, f"--data={tmp_path / 'chats.jsonl'}", f"--json={outs[1]}")
    typed, read = (json.loads(out.read_text())[0] for out in outs)
    assert typed["prompt"] == text
    assert typed["token_ids"] == read["token_ids"], "the last answer of a row is left out"


def test_on_a_terminal_it_is_a_chat(chat):
    process, terminal = pty.fork()
    if process == 0:
        command = [sys.executable, "-m", "pocketllm.runtime.cli", "generate", f"--bundle={chat}"]
        os.execv(sys.executable, [*command, *FEW])
    heard = b""
    for typed in (b"a film\n", b"it was\n", b"/new\n", b"\x04"):
        heard += _until(terminal, b"\n> ")
        os.write(terminal, typed)
    heard += _until(terminal, b"no such line", seconds=5)
    _, status = os.waitpid(process, 0)

    assert os.waitstatus_to_exitcode(status) == 0, heard
    assert heard.count(b"new tokens") == 2


def _until(terminal, end, seconds=100):
    heard, last = b"", time.monotonic() + seconds
    while end not in heard.replace(b"\r", b"") and time.monotonic() < last:
        if select.select([terminal], [], [], 1)[0]:
            try:
                heard += os.read(terminal, 4096)
            except OSError:  # the other side has ended
                break
    return heard


def test_what_cannot_be_generated_is_one_line(bundle, files, make_decoder, make_bundle):
    mute = make_bundle(make_decoder(case="llama"), task="sft", lengths=(8,), generate=False).folder
    (files / "wrong.jsonl").write_text('{"prompt": "a"}\n{"question": "b"}\n')
    long = "--prompt=" + "a film " * 99
    (files / "long.txt").write_text("a\n" + "z" * 80 + "\n")
    for arguments, texts in (
        ([f"--bundle={mute}", "--prompt=a"], ["export it again with --generate"]),
        ([], ["--prompt, --chat or --data is missing"]),
        (["--prompt=a", "--chat=b"], ["--prompt and --chat", "give one of them"]),
        (["--chat=a"], ["without a chat template", "--chat_template"]),
        (["--prompt="], ["the prompt is empty"]),
        ([long], ["the prompt has", "the bundle's context 64", "--context"]),
        (["--prompt=a", "--temperature=-1"], ["--temperature=-1.0: expected 0 or more"]),
        (["--prompt=a", "--max_new_tokens=0"], ["max_new_tokens"]),
        ([f"--data={files / 'wrong.jsonl'}"], ["wrong.jsonl line 2", "'question'"]),
        (["--data=none.pdf"], ["none.pdf"]),
        (["--prompt=a\udcff"], ["--prompt: found bytes that are no UTF-8"]),
        ([f"--data={files / 'long.txt'}"], ["long.txt line 2: the prompt has 80"]),
    ):
        done = pocketllm("generate", f"--bundle={bundle}", *arguments)
        complaint(done, 2, *texts)


def test_samples_change_nothing_of_a_run_and_are_written_once(bundle, files):
    common = [
        f"--bundle={bundle}", f"--train={files / 'train.jsonl'}", "--lr=1e-3", "--batch_size=3",
        "--eval_every=2", "--threads=1",
    ]  # fmt: skip
    prompts = f"--samples={files / 'prompts.txt'}"

    def train(name, *arguments):
        done = pocketllm("train", *common, f"--run={files / name}", *arguments)
        assert done.returncode == 0, done.stderr

    train("plain", "--steps=6")
    train("sampled", "--steps=3", prompts)
    train("sampled", "--steps=6", prompts)
    plain, sampled = files / "plain", files / "sampled"
    assert (plain / "journal").read_bytes() == (sampled / "journal").read_bytes()
    train("short", "--steps=1", prompts, "--samples_tokens=2")
    short = [json.loads(line) for line in (files / "short/samples.jsonl").read_text().splitlines()]
    assert all(len(line["token_ids"]) <= 2 for line in short)
    assert any(line["ended"] == "length" for line in short)
    done = pocketllm("report", files / "short", f"--out={files / 'cut'}")
    assert done.returncode == 0, done.stderr
    assert "**[cut]** |" in (files / "cut" / "report.md").read_text()
    lines = [json.loads(line) for line in (sampled / "samples.jsonl").read_text().splitlines()]
    steps = [(line["step"], line["number"]) for line in lines]
    assert steps == [(step, number) for step in (0, 2, 3, 4, 6) for number in (0, 1)]
    assert not (plain / "samples.jsonl").exists()

    before = (sampled / "samples.jsonl").read_bytes()
    train("sampled", "--steps=6", prompts)
    assert (sampled / "samples.jsonl").read_bytes() == before
    train("plain", "--steps=6", prompts)  # of a run that has ended: made up for
    made_up = (plain / "samples.jsonl").read_text().splitlines()
    assert made_up == [line for line in before.decode().splitlines() if '"step": 3,' not in line]

    out = files / "answers.json"
    run = f"--run={sampled}"
    generate(
        bundle, run, f"--data={files / 'prompts.txt'}", "--max_new_tokens=128", f"--json={out}"
    )
    last = [line["token_ids"] for line in lines if line["step"] == 6]
    assert [entry["token_ids"] for entry in json.loads(out.read_text())] == last

    done = pocketllm("report", sampled, f"--out={files / 'report'}")
    assert done.returncode == 0, done.stderr
    text = (files / "report" / "report.md").read_text()
    assert "## What the model says" in text
    assert "| prompt | step 0 | step 2 | step 4 | step 6 |" in text or "| step 3 |" in text
    assert (
        len(json.loads((files / "report" / "report.json").read_text())["runs"][0]["samples"]) == 10
    )


def test_samples_need_a_bundle_that_generates(files, make_decoder, make_bundle):
    mute = make_bundle(make_decoder(case="llama"), task="sft", lengths=(8,), generate=False).folder
    done = pocketllm(
        "train", f"--bundle={mute}", f"--train={files / 'train.jsonl'}", f"--run={files / 'run'}",
        "--steps=2", "--lr=1e-3", f"--samples={files / 'prompts.txt'}",
    )  # fmt: skip
    complaint(done, 2, "--generate")
    assert not (files / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model=roberta-micro", "--task=sst2", "--generate"], "write no text"),
        (
            ["--model=opt-125m", "--random_init", "--task=sst2", "--context=99999"],
            "--context=99999",
        ),
        (
            ["--model=opt-125m", "--random_init", "--task=sft", "--nogenerate", "--context=64"],
            "--context=64 goes with --generate",
        ),
        (
            ["--model=opt-125m", "--random_init", "--task=sst2", "--tune=head", "--generate"],
            "--tune=head",
        ),
    ],
)
def test_exports_that_cannot_generate_are_refused(arguments, text, tmp_path):
    complaint(pocketllm("export", *arguments, f"--out={tmp_path / 'out'}"), 2, text)
