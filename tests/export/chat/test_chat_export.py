"""`export --task=chat`: where a checkpoint keeps its template, and what goes into the bundle."""

import json

import decoder_of_make
import pytest
from chat_templates import CASES, EXAMPLE, SMOLLM2
from small_runs import pocketllm

from pocketllm.export.chat.choose import read_template
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.chat import render

pytestmark = pytest.mark.desktop

OTHER = SMOLLM2.text.replace("You are terse.", "You are another.")
PLACES = {
    "chat_template.jinja": {"chat_template.jinja": SMOLLM2.text},
    "tokenizer_config.json": {"tokenizer_config.json": SMOLLM2.text},
    "both, the file decides": {
        "chat_template.jinja": SMOLLM2.text, "tokenizer_config.json": OTHER,
    },
    "several in tokenizer_config.json": {
        "tokenizer_config.json": [
            {"name": "default", "template": SMOLLM2.text}, {"name": "rag", "template": OTHER},
        ]
    },
    "further ones in a folder": {
        "chat_template.jinja": SMOLLM2.text, "additional_chat_templates/rag.jinja": OTHER,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return decoder_of_make.write(tmp_path_factory.mktemp("weights"), "smollm2")


@pytest.fixture
def checkpoint(weights, tmp_path):
    """Returns a folder with weights and a tokenizer, and with these files."""

    def make(files):
        folder = tmp_path / "checkpoint"
        folder.mkdir()
        for path in weights.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        for name, contents in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            if name == "tokenizer_config.json":
                values = json.loads(path.read_text()) | {"chat_template": contents}
                contents = json.dumps(values)
            path.write_text(contents, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def read(monkeypatch):
    """Returns what an export would write: its settings, its small files and what was said."""

    def make(folder, task="chat", **options):
        import pocketllm.export
        from pocketllm.export import pipeline

        seen, lines = {}, []

        def stop_here(settings, weights, tokenizer, source, out, **callbacks):
            seen.update(settings=settings, files=source.files)

        monkeypatch.setattr(pipeline, "export_bundle", stop_here)
        pocketllm.export.export(
            folder, task, folder.parent / "out", lengths=[16], say=lines.append, **options
        )
        return seen["settings"], seen["files"], lines

    return make


def text_of(pieces):
    return "".join(span.text for span in render(pieces, EXAMPLE, False))


@pytest.mark.parametrize("place", PLACES)
def test_the_template_is_that_of_transformers_wherever_it_stands(checkpoint, read, place):
    from transformers import AutoTokenizer

    folder = checkpoint(PLACES[place])
    settings, _, _ = read(folder)

    theirs = AutoTokenizer.from_pretrained(str(folder)).apply_chat_template(EXAMPLE, tokenize=False)
    assert text_of(settings.chat) == theirs == SMOLLM2.example


def test_another_template_is_taken_instead_and_goes_on_with_the_result(checkpoint, read, tmp_path):
    folder = checkpoint(PLACES["chat_template.jinja"])
    (tmp_path / "other.jinja").write_text(OTHER, encoding="utf-8")

    settings, files, _ = read(folder, chat_template=tmp_path / "other.jinja")

    assert "You are another." in text_of(settings.chat)
    assert files["chat_template.jinja"] == OTHER.encode()


STOPS = {
    "the tokenizer's eos and the turn's end": ({}, [2]),
    "config.json": ({"config.json": {"eos_token_id": [5, 2]}}, [2, 5]),
    "generation_config.json": ({"generation_config.json": {"eos_token_id": [7, 0]}}, [0, 2, 7]),
    "none that the tokenizer lacks": (
        {"generation_config.json": {"eos_token_id": [7, -1, 90_000]}}, [2, 7],
    ),
    "a file that is none": ({"generation_config.json": "?"}, [2]),
    "another end of a turn": (
        {"chat_template.jinja": SMOLLM2.text.replace("<|im_end|>", "<|endoftext|>")}, [0, 2],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPS)
def test_every_id_that_ends_a_text_is_in_stop_ids(checkpoint, read, name):
    changes, expected = STOPS[name]
    folder = checkpoint(PLACES["chat_template.jinja"])
    for file, values in changes.items():
        path = folder / file
        if isinstance(values, dict):
            old = json.loads(path.read_text()) if path.exists() else {}
            values = json.dumps(old | values)
        path.write_text(values, encoding="utf-8")
    kept = ("config.json", "generation_config.json")
    before = {file: (folder / file).read_bytes() for file in kept if (folder / file).exists()}
    config = json.loads(before["config.json"])
    if "config.json" not in changes:
        assert config.get("eos_token_id") in (None, 2)

    settings, files, _ = read(folder)

    assert list(settings.stop_ids) == expected
    after = json.loads(files["generation_config.json"])["eos_token_id"]
    assert set(expected) <= set(after if isinstance(after, list) else [after])
    settings, files, _ = read(folder, task="sst2")
    assert {file: files[file] for file in before} == before


def test_a_template_that_is_no_table_is_a_remark_for_tasks_that_do_without(checkpoint, read):
    folder = checkpoint({"chat_template.jinja": "{{ messages }}"})

    settings, _, lines = read(folder, task="sft")

    assert settings.chat is None
    (line,) = [line for line in lines if line.startswith("chat: ")]
    assert line.startswith("chat: null in bundle.json, the chat template cannot be written as a")
    with pytest.raises(InputError, match="cannot be written as a table of pieces"):
        read(folder)


BROKEN = "line 2: found no valid Jinja (unexpected '}'), expected a chat template; correct"


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_template_of_the_checkpoint_that_is_no_jinja_is_named_with_its_line(
    name, checkpoint, read
):
    folder = checkpoint({name: "{% for m in messages %}\n{{ m.content }\n{% endfor %}"})
    place = name if name.endswith("jinja") else "chat_template"

    with pytest.raises(InputError) as refused:
        read(folder)
    assert str(refused.value) == (f"{place} {BROKEN} it, or give another with --chat_template=FILE")
    _, _, lines = read(folder, task="sft")
    assert [line for line in lines if f"chat: null in bundle.json, {place} {BROKEN}" in line]


FILES = {
    "none": (None, "no such file"),
    "empty": (b" \n", "empty, expected a Jinja template"),
    "no text": (b"a\xff", "no UTF-8 at byte 1"),
    "too large": (b"a" * 1_000_001, "1000001 bytes, expected a Jinja template"),
    "no Jinja": (b"{% for m in messages %}\n{{ m.content }\n{% endfor %}", BROKEN),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_template_is_refused_by_its_name(tmp_path, name):
    contents, expected = FILES[name]
    path = tmp_path / "mine.jinja"
    if contents is not None:
        path.write_bytes(contents)

    with pytest.raises(InputError) as refused:
        read_template(path)

    assert str(refused.value).startswith(f"--chat_template={path}")
    assert expected in str(refused.value)


def test_the_command_refuses_a_template_in_one_line(checkpoint, tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{% if %}")
    done = pocketllm(
        "export", f"--model={checkpoint({})}", "--task=chat", f"--chat_template={path}",
        f"--out={tmp_path / 'out'}", timeout=300,
    )  # fmt: skip

    assert done.returncode == 2 and "mine.jinja line 1: found no valid Jinja" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_template_is_no_flag_of_models_that_write_no_text(tmp_path, read):
    (tmp_path / "mine.jinja").write_text(SMOLLM2.text)

    with pytest.raises(InputError, match="--chat_template goes with models that write text"):
        from pocketllm.export import export

        export(
            "roberta-micro", "sst2", tmp_path / "out", chat_template=tmp_path / "mine.jinja",
            say=lambda line: None,
        )  # fmt: skip


def test_a_bundle_has_the_pieces_and_the_ends_and_opens_without_them(checkpoint, tmp_path):
    done = pocketllm(
        "export", f"--model={checkpoint({'chat_template.jinja': SMOLLM2.text})}", "--task=chat",
        "--lengths=16", "--nogenerate", f"--out={tmp_path / 'out'}", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    bundle = read_bundle(tmp_path / "out")

    assert text_of(bundle.chat) == SMOLLM2.example and bundle.stop_ids == (2,)
    entries = json.loads((tmp_path / "out" / "bundle.json").read_text())
    assert list(entries["chat"])[:2] == ["start", "without_system"]
    assert len(CASES) > 1 and entries["stop_ids"] == [2]
