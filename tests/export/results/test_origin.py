"""What `replay` says of a checkpoint, and which folders --force replaces."""

import json
from dataclasses import replace

import pytest

from pocketllm.export.checkpoint.source_files import SourceFiles
from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop

POOLER = ["roberta.pooler.dense.weight", "roberta.pooler.dense.bias"]


@pytest.fixture
def origin(golden_bundle, tmp_path):
    """Makes origins: (ignored tensors, names of the source's small files, …) -> Origin."""
    from pocketllm.export.results.origin import Origin, left_out

    def make(ignored=(), files=("tokenizer_config.json",), **changes):
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        values = {"ignored_tensors": list(ignored)}
        (folder / contract.MANIFEST_FILE).write_text(json.dumps(values))
        bundle = replace(golden_bundle, folder=folder, **changes)
        return Origin(
            bundle, SourceFiles("mine", dict.fromkeys(files, b"")), 3, None, left_out(bundle)
        )

    return make


def test_tensors_that_the_task_does_not_use_are_named(origin):
    from pocketllm.export.results.origin import origin_json, remarks

    heads = origin([*POOLER, "classifier.out_proj.weight", "lm_head.decoder.weight"])

    (line,) = remarks(heads)
    assert line.startswith(f"without {', '.join(POOLER)}, classifier.out_proj.weight: the task")
    assert "lm_head" not in line, "a copy of what is written"
    assert origin_json(heads)["left_out"] == [*POOLER, "classifier.out_proj.weight"]
    many = remarks(origin([f"layer.{number}" for number in range(20)]))[0]
    assert "layer.11 and 8 more: the task" in many and "layer.12" not in many
    assert line.endswith("config.json is as it was")
    (line,) = remarks(origin(["vision_tower.head.weight"]))
    assert line.endswith("config.json is that of the text part alone")
    assert remarks(origin()) == []


def test_a_causal_checkpoint_without_named_tokens_says_that_prompts_begin_differently(origin):
    from pocketllm.export.results.origin import remarks

    vocabulary = ("vocab.json", "merges.txt", "config.json", "generation_config.json")
    causal = {"architecture": "opt", "style": "causal"}

    assert "the run had <s> there" in remarks(origin((), vocabulary, **causal))[0]
    assert remarks(origin((), (*vocabulary, "tokenizer_config.json"), **causal)) == []
    assert remarks(origin((), vocabulary)) == [], "RoBERTa's class frames a text"
    framed = origin((), vocabulary, **causal)
    bare = replace(framed.bundle, special_tokens=replace(framed.bundle.special_tokens, bos=None))
    assert remarks(replace(framed, bundle=bare)) == [], "the run had no token there either"


def test_only_a_folder_that_replay_wrote_is_replaced(tmp_path):
    from pocketllm.export.results.origin import ORIGIN_FILE, check_written_here

    check_written_here(tmp_path / "absent")
    check_written_here(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"the only copy")
    with pytest.raises(InputError, match="`replay` did not write it"):
        check_written_here(tmp_path)
    (tmp_path / ORIGIN_FILE).write_text("{}")
    check_written_here(tmp_path)
