"""source.json of a stranger: its small files are written as they were, or refused in one line."""

import copy
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop

SEVERAL = ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json")
TEXTS = (
    "", "{", "[]", "5", "null", "NaN", '"x"', '[["a", 1]]', "[" * 100_000, "{}", "\ufeff{}",
    '{"architectures": 5}', '{"architectures": "x"}', '{"architectures": [5]}', '{"a": 1e999}',
)  # fmt: skip
VALUES = (
    None, True, 5, -1, 1e300, float("nan"), 2**70, "", "x", "\ud800", [], [["a", 1]], [None], {},
    {"a": 1}, {"text": 5}, {"base64": 5}, {"base64": "*"}, {"base64": "/w=="}, *({"text": text}
    for text in TEXTS),
)  # fmt: skip


@pytest.fixture(scope="module")
def original(golden_bundle):
    return json.loads((golden_bundle.folder / contract.SOURCE_FILE).read_text())


@pytest.fixture(scope="module")
def write_out(golden_bundle, tmp_path_factory):
    """Writes a bundle's small files as `replay` does; returns the folder, or the refusal."""
    from pocketllm.export.checkpoint.source_files import read_source_files
    from pocketllm.export.results.checkpoint import write_small_files
    from pocketllm.export.results.source_config import check_source

    def write(values):
        folder = tmp_path_factory.mktemp("hostile")
        (folder / contract.SOURCE_FILE).write_text(json.dumps(values))
        (folder / "out").mkdir()
        bundle = replace(golden_bundle, folder=folder)
        try:
            source = read_source_files(bundle)
            check_source(source, bundle)
        except InputError as error:
            assert str(folder) in str(error) and "\n" not in str(error) and len(str(error)) < 1000
            return str(error)
        write_small_files(folder / "out", source, bundle, "fp32")
        for name in SEVERAL:
            if name in source.files:
                json.loads((folder / "out" / name).read_bytes()).keys()
        assert {path.name for path in folder.iterdir()} == {contract.SOURCE_FILE, "out"}
        return folder / "out"

    return write


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"model_type": "roberta", "architectures": 5}', "architectures is 5, expected a list"),
        ('{"model_type": "roberta", "architectures": "x"}', "architectures is 'x', expected a"),
        ('{"model_type": "roberta", "architectures": [5]}', r"architectures is \[5\], expected"),
        ('{"model_type": "roberta", "architectures": {"a": 1}}', "architectures is {'a': 1}"),
        ('{"model_type": "opt"}', "model_type is not 'roberta'"),
        ('{"model_type": ["roberta"]}', r"model_type is \['roberta'\], implemented are .*roberta"),
        ('[["a", 1]]', "config.json of the source: a JSON list, expected an object"),
        ("{", "config.json of the source: not JSON"),
    ],
)
def test_a_config_that_is_none_is_refused(text, problem, original, write_out):
    values = copy.deepcopy(original)
    values["files"]["config.json"] = {"text": text}

    assert re.search(problem, str(write_out(values)))


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("text", ["[]", "5", "null", '"x"', '[["a", 1]]', "", "[" * 100_000])
def test_a_tokenizer_file_that_is_no_object_is_refused(name, text, original, write_out):
    values = copy.deepcopy(original)
    values["files"][name] = {"text": text}

    assert f"source.json: {name} of the source: " in str(write_out(values))


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/tmp/x",
        "a/b",
        "",
        ".",
        "..",
        "x\0",
        "model.tflite",
        "additional_chat_templates/../../x.jinja",
        "additional_chat_templates/../x.jinja",
        "additional_chat_templates//x.jinja",
        "additional_chat_templates/.jinja",
    ],
)
def test_a_name_that_is_no_small_files_is_refused(name, original, write_out):
    values = copy.deepcopy(original)
    values["files"][name] = {"text": "{}"}

    assert "not as `export` writes it (files" in str(write_out(values))


def test_what_export_wrote_is_written(original, write_out):
    out = write_out(original)

    assert {path.name for path in out.iterdir()} == set(original["files"])


def test_nesting_up_to_the_readers_limit_is_written_or_refused(original, write_out):
    for depth in range(850, 1000, 3):
        values = copy.deepcopy(original)
        config = json.loads(values["files"]["config.json"]["text"])
        text = json.dumps(config)[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"
        values["files"]["config.json"]["text"] = text
        write_out(values)


@settings(steady, max_examples=200)
@given(data=st.data())
def test_any_mutation_is_written_or_refused_in_one_line(data, original, write_out):
    values = copy.deepcopy(original)
    value = data.draw(st.sampled_from([..., *VALUES]))
    places = [("name",), ("files",), *(("files", name) for name in values["files"])]
    where = data.draw(st.sampled_from([*places, ("config",), ("config",), ("files", "../x")]))
    if where == ("config",):
        config = json.loads(values["files"]["config.json"]["text"])
        key = data.draw(st.sampled_from([*config, "architectures", "dtype", "torch_dtype"]))
        config = {name: entry for name, entry in config.items() if name != key}
        config |= {} if value is ... else {key: value}
        values["files"]["config.json"]["text"] = json.dumps(config)
    else:
        parent = values if len(where) == 1 else values["files"]
        parent.pop(where[-1], None)
        if value is not ...:
            parent[where[-1]] = value

    write_out(values)
