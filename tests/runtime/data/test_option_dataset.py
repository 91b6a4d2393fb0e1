"""Data sets of scored options: whole files, drawn parts, what training leaves out."""

import json
import re
import shutil

import pytest
from bundle_json import as_causal
from opt_reference import EXCERPTS

from pocketllm.runtime.data.dataset import batches_of, load_dataset, load_split
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS
from pocketllm.runtime.tasks.draws import drawn


@pytest.fixture
def opt_bundle(golden_bundle, tmp_path):
    """Returns the committed bundle, its graphs aside, as one of a causal model for a task."""

    def of(name, scoring, option_tokens):
        folder = shutil.copytree(golden_bundle.folder, tmp_path / name)
        return as_causal(folder, TASKS[name], scoring, option_tokens)

    return of


def test_a_whole_file_keeps_its_groups_and_a_drawn_part_cannot(opt_bundle):
    bundle = opt_bundle("multirc", "options", 3)
    path = EXCERPTS / "multirc.jsonl"

    whole = load_dataset(path, bundle)
    sample = load_dataset(path, bundle, sample=10)

    limit = f"{bundle.lengths[-1]} tokens, the longest of the bundle's lengths"
    assert whole.describe() == f"{path}: 25 examples, 25 truncated to fit {limit} (100.0%)"
    assert len({example.group for example in whole.examples} - {None}) > 2
    assert sample.describe().startswith(f"{path}: 10 examples drawn from 25, 10 truncated")
    assert [example.golds for example in sample.examples] == [
        whole.examples[place].golds for place in drawn(25, 10)
    ]
    assert {example.group for example in sample.examples} == {None}
    assert sample.sha256 == whole.sha256


def test_a_split_encodes_gold_options_to_train_on_and_all_to_choose_by(opt_bundle):
    bundle = opt_bundle("copa", "gold", 128)
    longest = bundle.lengths[-1]
    short = {"premise": "a.", "choice1": "it", "choice2": "ok", "question": "effect"}
    path = bundle.folder / "copa.jsonl"
    rows = [short | {"label": i % 2} for i in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    train, dev = load_split(path, bundle, 6, 3)
    everything = load_dataset(path, bundle, training=True)

    assert train.describe() == f"{path}: 6 examples of 9, to train on"
    assert dev.describe() == f"{path}: 3 examples of 9, to choose the best step by"
    assert [len(example.sequences) for example in train.examples] == [1] * 6
    assert [len(example.sequences) for example in dev.examples] == [2] * 3
    assert [example.golds for example in dev.examples] == [
        (place % 2,) for place in drawn(9, 9)[6:]
    ]
    assert [len(example.sequences) for example in everything.examples] == [1] * 9
    assert sum(batch.rows for batch in batches_of(train, bundle)) == 6
    assert all(batch.tokens <= longest for batch in batches_of(train, bundle))
    with pytest.raises(InputError, match=re.escape("more than the 9 that --split=6/9 keeps")):
        load_split(path, bundle, 6, 9)


def test_a_row_whose_option_does_not_fit_is_named_by_file_and_line(opt_bundle):
    bundle = opt_bundle("copa", "gold", 128)
    path = EXCERPTS / "copa.jsonl"
    longest = bundle.lengths[-1]

    with pytest.raises(InputError, match=f"expected 1 to {longest - 1}; shorten it, or ") as error:
        load_dataset(path, bundle)

    assert str(error.value).startswith(f"{path} line 1: the option ")
