"""FORMAT.md names what the code has: keys, signatures, kinds and constants, table by table."""

import dataclasses
import json
import re

import pages
import pytest

from pocketllm.runtime import contract, noise
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data import order
from pocketllm.runtime.data.files.text_forms import FORMS, MEANING_MORE
from pocketllm.runtime.tasks import causal, masked, text
from pocketllm.runtime.tasks.codec import to_json
from pocketllm.runtime.tasks.metrics import METRICS
from pocketllm.runtime.tasks.rows import LAYOUTS
from pocketllm.runtime.tasks.templates import TRANSFORMS

TEXT = (pages.ROOT / "tflite_models" / "FORMAT.md").read_text(encoding="utf-8")
CHOICES = (causal.WordChoice, causal.FieldChoice, causal.RowChoice)


def section(title: str) -> str:
    """Returns the text under a heading of the second level."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    return text


def table(text: str, heading: str) -> dict[str, list[str]]:
    """Returns {first cell: further cells} of the table whose head begins with a cell."""
    begin = text.index(f"| {heading} |")
    lines = text[begin:].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return {cells[0]: cells[1:] for cells in rows}


def names(text: str) -> list[str]:
    """Returns what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def hex_numbers(text: str) -> set[int]:
    return {int(digits, 16) for digits in re.findall(r"0x([0-9A-F]{8})", text)}


@pytest.fixture(scope="session")
def manifest(golden_bundle):
    return json.loads((golden_bundle.folder / "bundle.json").read_text())


def test_the_version_and_the_files_are_the_contracts():
    assert TEXT.startswith(f"# Bundle format {contract.FORMAT_VERSION}\n")
    files = names(" ".join(table(TEXT, "file")))
    needed = [contract.MODEL_FILE, contract.MANIFEST_FILE, contract.TOKENIZER_FILE]
    assert files == [*needed, contract.SOURCE_FILE]
    assert f"`{contract.PACKED_FILE}` and `{contract.PACKED_STAMP}`" in TEXT


def test_every_key_of_bundle_json_has_a_row_in_the_order_of_the_file(manifest):
    rows = table(section("bundle.json"), "key")
    keys = [key for cell in rows for key in names(cell)]
    sometimes = {
        "lora": "with `tune` `lora` alone",
        "model_commit": "of a model on the Hub alone",
    }
    optional = dict.fromkeys(("chat", "stop_ids", "context"), "or missing")
    always = [key for key in keys if key not in sometimes]
    together = {"base": "tune", "lengths": "batch_size"}  # named beside the key before

    assert set(always) == set(manifest)
    written = [key for key in manifest if key not in together]
    assert [key for key in always if key not in together] == written
    assert all(text in rows[f"`{key}`"][1] for key, text in (sometimes | optional).items())


def test_every_key_of_a_task_of_either_style_has_a_row():
    rows = table(section("Tasks"), "key")
    of_style = {
        style: [
            names(key)[0] for key, cells in rows.items() if cells[column] not in ("", "in `choice`")
        ]
        for column, style in enumerate(contract.STYLES)
    }

    assert of_style[contract.MASKED] == list(to_json(masked.TASKS["sst2"]))
    assert of_style[contract.CAUSAL] == list(to_json(causal.TASKS["sst2"]))
    in_choice = {names(key)[0] for key, cells in rows.items() if cells[1] == "in `choice`"}
    assert in_choice == {field.name for field in dataclasses.fields(causal.WordChoice)}


def test_every_kind_of_choice_has_a_row_with_its_keys():
    rows = table(section("Tasks"), "`kind`")

    assert {names(kind)[0]: names(cells[0]) for kind, cells in rows.items()} == {
        kind.kind: [field.name for field in dataclasses.fields(kind)] for kind in CHOICES
    }


def test_a_piece_is_described_with_all_its_keys():
    text = section("Tasks")
    paragraph = text[text.index("A piece of a masked template") :].split("\n\n")[0]

    assert {field.name for field in dataclasses.fields(masked.Piece)} <= set(names(paragraph))
    assert "has five keys" in paragraph and len(dataclasses.fields(masked.Piece)) == 5


def test_transforms_layouts_and_metrics_are_those_of_the_code():
    tasks = section("Tasks")
    begin = tasks.index("`transforms` are")

    assert [n for n in names(tasks[begin:].split("White space is")[0]) if n in TRANSFORMS] == list(
        TRANSFORMS
    )
    assert names(table(tasks, "key")["`metrics`"][1]) == list(METRICS)
    assert [names(row)[0] for row in table(section("Data files"), "`layout`")] == list(LAYOUTS)


def test_styles_scorings_and_kinds_are_the_contracts():
    rows = table(section("bundle.json"), "key")

    assert names(rows["`style`"][1]) == list(contract.STYLES)
    assert names(rows["`scoring`"][1]) == list(contract.SCORINGS)
    assert names(rows["`tune`, `base`"][1]) == [*contract.TUNES, *contract.BASES]
    roles = names(rows["`special_tokens`"][1])
    assert roles[:4] == [field.name for field in dataclasses.fields(SpecialTokens)]
    assert set(roles[4:]) & set(roles[:4]) == set(contract.NEEDED_TOKENS[contract.MASKED])
    assert [names(row)[0] for row in table(section("Noise"), "kind")] == [
        contract.NOISE_KINDS[0], contract.NOISE_KINDS[2], contract.NOISE_KINDS[1],
    ]  # fmt: skip
    assert f'`["{contract.MEZO}", "{contract.ADAM}"]`' in rows["`optimizers`"][1]


def test_every_signature_of_a_bundle_has_a_row_with_its_tensors(manifest):
    rows = table(section("model.tflite"), "signature")
    text = " ".join(rows)
    for name, signature in manifest["signatures"].items():
        stem = re.sub(r"_\d+$", "", name)
        row = next(row for row in rows if re.search(rf"`{stem}(_[kT])?`", row))
        described = " ".join(rows[row]) + section("model.tflite")
        for tensor in signature["inputs"] | signature["outputs"]:
            if stem not in (contract.READ, contract.WRITE) or tensor == contract.DONE:
                assert f"`{tensor}[" in described, (name, tensor)
    for stem in (contract.ADAM_STEP, contract.ADAM_INITIALIZE, contract.DECAY):
        assert f"`{stem}" in text


def test_the_hash_constants_are_those_of_noise_and_order():
    in_noise = {
        noise.MULTIPLIER_1, noise.MULTIPLIER_2, noise.COUNTER_SALT, noise.SEED_SALT,
        noise.STREAM_SALT, noise.SECOND_WORD_SALT,
    }  # fmt: skip

    assert hex_numbers(section("Noise")) == set(map(int, in_noise))
    assert hex_numbers(section("Order of the data")) == {
        int(order.STEP_SALT), int(order.EPOCH_SALT), int(order.DIRECTION_SALT),
    }  # fmt: skip


def test_the_reader_reads_no_key_that_the_page_lacks(manifest):
    described = {key for cell in table(section("bundle.json"), "key") for key in names(cell)}
    source = (pages.ROOT / "runtime" / "bundle" / "manifest.py").read_text(encoding="utf-8")
    read = set(re.findall(r'values(?:\.get\(|\[)"(\w+)"', source))

    assert read and read <= described


def test_tasks_of_learnt_text_and_the_forms_of_their_rows_are_those_of_the_code():
    paragraph = section("Tasks").split("has another `task`")[1].split("\n\n")[0]
    assert [n for n in names(paragraph) if n in to_json(text.TASKS["sft"])][:3] == list(
        to_json(text.TASKS["sft"])
    )
    assert set(text.FORMS) | {text.ANSWERS, text.EVERYTHING} <= set(names(paragraph))
    described = section("Data files")
    rows = re.findall(r"^\| `(\w+)` \| (`.*?) \|", described.split("| `form` | keys")[1], re.M)
    coded = [(form, {*kind.keys, *kind.further}) for form, kinds in FORMS.items() for kind in kinds]
    assert [(form, set(names(keys))) for form, keys in rows] == coded
    assert set(MEANING_MORE) <= set(names(described))
