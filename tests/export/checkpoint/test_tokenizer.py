"""Tokenizer files of a checkpoint: the ids of AutoTokenizer, or an error that names the file."""

import json
import shutil

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_files import CASES, FILES, LAST, URL, added, roberta_class, without_unk, write_files

from pocketllm.export.checkpoint.tokenizer import (
    FAIRSEQ_TOKENS,
    read_tokenizer,
    tokenizer_for,
)
from pocketllm.runtime.errors import InputError
from pocketllm.tflite_models.presets import MICRO, OPT_MICRO

pytestmark = pytest.mark.desktop

TEXTS = [
    "great film", " It was", "It was terrible", "", " ", "  two  spaces ", "\n\n", "a\ttab",
    "naïve café 🙂 \u2028", "a <url> b", "a<url>", "<url>", "<url>x", " url and urls", "URL url",
    "a </s> b", "a <mask> b", "a  <mask>", "<s>", "x<pad><unk>", "<MASK> < mask>", "[E1] film [E2]",
    "é e\u0301", "a film" * 40,
]  # fmt: skip
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["<s>", "</s>", "<mask>", "<pad>", "<unk>", URL, "[E1]"]),
    st.sampled_from(["url", "URL", "a", " "]),
)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Returns (AutoTokenizer, ours) of a case, as read from slow files or one tokenizer.json."""
    from transformers import AutoTokenizer

    root, pairs = tmp_path_factory.mktemp("tokenizers"), {}

    def read(model_type, name, fast):
        key = (model_type, name, fast)
        if key not in pairs:
            files = FILES[model_type][name]
            folder = write_files(root / str(len(pairs)), model_type, files)
            if fast:
                AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
                (folder / "vocab.json").unlink(missing_ok=True)
                (folder / "merges.txt").unlink(missing_ok=True)
            theirs, ours = (
                AutoTokenizer.from_pretrained(folder),
                tokenizer_for(folder, model_type=model_type),
            )
            # No tokenizer.json holds it; rows are encoded so with any tokenizer.
            ours.encode_special_tokens = theirs.split_special_tokens
            pairs[key] = (theirs, ours)
        return pairs[key]

    return read


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("fast", [False, True], ids=["slow files", "tokenizer.json"])
@pytest.mark.parametrize("model_type, name", CASES)
def test_ids_are_those_of_auto_tokenizer(model_type, name, fast, both):
    theirs, ours = both(model_type, name, fast)

    for text in TEXTS:
        assert ids_of(ours, text) == theirs.encode(text, add_special_tokens=False), text
        assert ours.encode(text).ids == theirs.encode(text), text
    for name in ("bos_token", "eos_token", "cls_token", "sep_token", "pad_token", "mask_token"):
        token = getattr(theirs, name)
        if token:
            assert ours.token_to_id(token) == theirs.convert_tokens_to_ids(token)


@settings(deadline=None, max_examples=400)
@given(case=st.sampled_from(CASES), text=st.lists(PIECES, max_size=6).map("".join))
def test_ids_of_any_text_are_those_of_auto_tokenizer(case, text, both):
    theirs, ours = both(*case, False)
    assert ids_of(ours, text) == theirs.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("folder, model_type", [(MICRO, "roberta"), (OPT_MICRO, "opt")])
def test_bundled_checkpoints_have_the_ids_of_auto_tokenizer(folder, model_type):
    from transformers import AutoTokenizer

    theirs, ours = (
        AutoTokenizer.from_pretrained(folder),
        tokenizer_for(folder, model_type=model_type),
    )
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text)


def test_vocabulary_and_merges_alone_are_robertas_and_give_opt_no_token_it_lacks(tmp_path):
    from transformers import AutoTokenizer

    roberta = write_files(tmp_path / "roberta", "roberta", {})
    theirs, ours = AutoTokenizer.from_pretrained(roberta), tokenizer_for(roberta)
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text)
    opt = write_files(tmp_path / "opt", "opt", {})
    theirs, ours = AutoTokenizer.from_pretrained(opt), tokenizer_for(opt, model_type="opt")
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text)
    assert len(theirs) == LAST + 2 and ours.get_vocab_size() == LAST + 1
    assert [ours.token_to_id(token) for token in ("<s>", "<pad>", "</s>")] == [0, 1, 2]


@pytest.mark.parametrize("rows", [LAST + 1, LAST + 2])
def test_a_token_that_no_file_names_is_one_where_the_model_has_a_row_for_it(rows, tmp_path):
    files = {"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}}
    folder = write_files(tmp_path, "opt", files)
    (folder / "config.json").write_text(json.dumps({"model_type": "opt", "vocab_size": rows}))
    tokenizer = tokenizer_for(folder, model_type="opt")
    assert tokenizer.get_vocab_size() == rows
    assert tokenizer.encode("film").tokens == ["Ġfilm"]
    assert tokenizer.token_to_id("<|endoftext|>") == (LAST + 1 if rows == LAST + 2 else None)


def test_a_token_behind_one_that_the_model_has_no_row_for_is_not_moved_into_its_rows(tmp_path):
    settings = without_unk(additional_special_tokens=["[E1]"])
    folder = write_files(tmp_path, "opt", {"tokenizer_config": settings})
    for rows in (LAST + 1, LAST + 2):
        (folder / "config.json").write_text(json.dumps({"model_type": "opt", "vocab_size": rows}))
        assert tokenizer_for(folder, model_type="opt").token_to_id("[E1]") is None
        read = read_tokenizer(folder, FAIRSEQ_TOKENS, "opt")
        assert read.left_out == ("[E1]",)


def test_a_class_in_python_alone_is_said(tmp_path):
    (tmp_path / "vocab.txt").write_text("great 5\nfilm 4\n")
    (tmp_path / "bpe.codes").write_text("g r 1\n")
    (tmp_path / "config.json").write_text('{"tokenizer_class": "PhobertTokenizer"}')
    with pytest.raises(InputError, match="PhobertTokenizer in Python alone, so that these files"):
        tokenizer_for(tmp_path)


def test_keys_of_config_json_that_transformers_refuses_do_not_matter(tmp_path):
    folder = write_files(tmp_path, "roberta", {"tokenizer_config": roberta_class()})
    (folder / "config.json").write_text('{"model_type": "roberta", "is_decoder": null}')
    assert tokenizer_for(folder).encode("a film").ids[0] == 0


def test_code_of_a_checkpoint_is_not_run(tmp_path):
    settings = roberta_class(auto_map={"AutoTokenizer": [None, "own.Own"]})
    settings["tokenizer_class"] = "Own"
    folder = write_files(tmp_path, "roberta", {"tokenizer_config": settings})
    (folder / "own.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    try:
        tokenizer_for(folder)
    except InputError as error:
        assert "\n" not in str(error)
    assert not (tmp_path / "was-run").exists()


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2108619\n"


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("tokenizer.json", LFS, "a git-lfs pointer, not the file itself; run `git lfs pull`"),
        ("tokenizer.json", "<html><body>404", "an HTML page"),
        ("tokenizer.json", "Entry not found", "an error message of a server, not the file"),
        ("tokenizer.json", '{"error":"Access denied"}', "an error message of a server"),
        ("vocab.json", "404: Not Found", "an error message of a server"),
        ("tokenizer.json", "", "empty; download it again"),
        ("tokenizer.json", '{"version": "1.0", "model": {"ty', "copy it from the checkpoint again"),
        ("tokenizer.json", '{"model": {"type": "BPE2030"}}', "update `tokenizers` if a newer one"),
        ("tokenizer.json", "[]", "copy it from the checkpoint again"),
        ("tokenizer.json", "\ufeff{}", "a byte-order mark before its JSON; save it as UTF-8"),
        ("tokenizer_config.json", "\ufeff{}", "a byte-order mark"),
        ("tokenizer_config.json", LFS, "a git-lfs pointer"),
        ("tokenizer_config.json", "{", "not JSON"),
        ("special_tokens_map.json", "[]", "a JSON list, expected an object"),
        ("added_tokens.json", "<!doctype html>", "an HTML page"),
        ("vocab.json", LFS, "a git-lfs pointer"),
        ("vocab.json", "[1]", "a JSON list, expected an object"),
        ("merges.txt", LFS, "a git-lfs pointer"),
    ],
)
def test_an_unreadable_file_is_named_with_its_remedy(name, text, problem, tmp_path):
    folder = write_files(tmp_path, "roberta", {"tokenizer_config": roberta_class()})
    (folder / name).write_text(text)

    with pytest.raises(InputError) as caught:
        tokenizer_for(folder)

    message = str(caught.value)
    assert message.startswith(f"{folder / name}: ") and problem in message
    assert "\n" not in message and "export the bundle again" not in message


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"added_tokens_decoder": {"5": "text"}}, "added_tokens_decoder"),
        ({"added_tokens_decoder": {"x": added(URL)}}, "transformers makes no tokenizer of"),
        ({"bos_token": 5}, "transformers makes no tokenizer of"),
    ],
)
def test_settings_that_transformers_refuses_are_refused(settings, words, tmp_path):
    folder = write_files(tmp_path, "roberta", {"tokenizer_config": roberta_class(**settings)})
    with pytest.raises(InputError) as caught:
        tokenizer_for(folder)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_merges_as_strings_of_older_tokenizers_are_read(tmp_path):
    shutil.copytree(MICRO, tmp_path / "old")
    path = tmp_path / "old" / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"]["merges"] = [" ".join(pair) for pair in values["model"]["merges"]]
    path.write_text(json.dumps(values), encoding="utf-8")
    assert tokenizer_for(path.parent).to_str() == tokenizer_for(MICRO).to_str()


def test_files_that_make_no_tokenizer_are_named(tmp_path):
    with pytest.raises(InputError, match="vocab.json and merges.txt not found, expected"):
        tokenizer_for(tmp_path)
    tiny.write_tokenizer(tmp_path)
    for vocab in ("{}", '{"a": 0}'):  # no vocabulary of these merges
        (tmp_path / "vocab.json").write_text(vocab)
        with pytest.raises(InputError, match="make no BPE"):
            tokenizer_for(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(InputError, match="<s>, <pad>, </s>, <unk> not found"):
        tokenizer_for(tmp_path)
