"""Tokenizer files as `replay` writes them: AutoTokenizer makes what it makes of the source's."""

import json

import pytest
from sources import TOKENIZERS, tokenizer_source

pytest_plugins = ["sources"]

pytestmark = pytest.mark.desktop

TEXTS = (
    "a film It was", " great", "", "  two  spaces\n\tand\r\nlines", "Übergröße 中文 🎉",
    "a <mask> and <s> </s> <pad> <unk>", "film" * 60, "It was terrible. It was great.",
)  # fmt: skip


@pytest.mark.parametrize("architecture, name", TOKENIZERS)
def test_transformers_loads_the_tokenizer_of_the_source(architecture, name, written, tmp_path):
    from transformers import AutoTokenizer

    from pocketllm.export.results.checkpoint import is_checkpoint_file

    source = tokenizer_source(tmp_path / "source", architecture, name)
    theirs = AutoTokenizer.from_pretrained(source)

    out = written(source, architecture)

    ours = AutoTokenizer.from_pretrained(out)
    assert type(ours) is type(theirs)
    assert [dict(ours(text)) for text in TEXTS] == [dict(theirs(text)) for text in TEXTS]
    assert dict(ours(*TEXTS[:2])) == dict(theirs(*TEXTS[:2]))
    long = {"truncation": True, "max_length": 20}
    assert ours(TEXTS[6], **long).input_ids == theirs(TEXTS[6], **long).input_ids
    for key in ("all_special_ids", "special_tokens_map", "model_max_length", "padding_side",
                "truncation_side", "chat_template", "model_input_names"):  # fmt: skip
        assert getattr(ours, key) == getattr(theirs, key), key
    assert ours.get_vocab() == theirs.get_vocab()
    assert [ours.decode(ours(text).input_ids) for text in TEXTS] == [
        theirs.decode(theirs(text).input_ids) for text in TEXTS
    ]
    paths = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for path in paths:
        if path.name != "config.json":
            assert (out / path).read_bytes() == (source / path).read_bytes()
    assert {p.relative_to(out) for p in out.rglob("*") if p.is_file()} == set(paths)
    assert all(is_checkpoint_file(path.name) for path in out.iterdir())


@pytest.mark.parametrize("architecture, name", TOKENIZERS[1:])
def test_a_row_is_framed_as_the_sources_tokenizer_frames_a_text(architecture, name, tmp_path):
    from transformers import AutoTokenizer

    from pocketllm.export.checkpoint.special_spellings import special_spellings
    from pocketllm.export.checkpoint.tokenizer import read_tokenizer, special_ids
    from pocketllm.export.models import architecture_named

    source = tokenizer_source(tmp_path / "source", architecture, name)
    theirs, kind = AutoTokenizer.from_pretrained(source), architecture_named(architecture, "")

    read = read_tokenizer(source, kind.special_tokens, architecture)
    spelled = special_spellings(read, kind.special_tokens, kind.style)
    ours = special_ids(read.tokenizer, spelled, kind.style)

    row, text = theirs("a film").input_ids, theirs("a film", add_special_tokens=False).input_ids
    front = [ours.bos] if ours.bos is not None else []
    back = [ours.eos] if architecture == "roberta" else []
    assert row == [*front, *text, *back]
    if theirs.pad_token is not None:
        assert ours.pad == theirs.pad_token_id
    if architecture == "roberta":
        assert ours.mask == theirs.mask_token_id


def test_an_opts_vocabulary_alone_keeps_the_token_that_mezo_puts_in_front(tmp_path):
    from pocketllm.export.checkpoint.source_files import collect_files, files_of_folder
    from pocketllm.export.checkpoint.special_spellings import special_spellings
    from pocketllm.export.checkpoint.tokenizer import FAIRSEQ_TOKENS, read_tokenizer
    from pocketllm.export.checkpoint.tokenizer_files import is_unframed

    source = tokenizer_source(tmp_path / "source", "opt", "a vocabulary alone")
    files = collect_files(files_of_folder(source), "mine").files

    assert is_unframed(files)
    read = read_tokenizer(source, FAIRSEQ_TOKENS, "opt")
    assert special_spellings(read, FAIRSEQ_TOKENS, "causal") == FAIRSEQ_TOKENS


def test_a_tokenizer_for_newer_versions_of_transformers_is_read_and_travels(written, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    from pocketllm.export.checkpoint.tokenizer import tokenizer_for

    source = tokenizer_source(tmp_path / "source", "roberta", "saved by transformers")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_tokens(["film"])
    tokenizer.save(str(source / "tokenizer.4.0.0.json"))
    (source / "tokenizer.9999.0.0.json").write_text((source / "tokenizer.json").read_text())
    path = source / "tokenizer_config.json"
    listed = ["tokenizer.json", "tokenizer.4.0.0.json", "tokenizer.9999.0.0.json"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fast_tokenizer_files": listed}))

    theirs, ours = AutoTokenizer.from_pretrained(source), tokenizer_for(source)

    added = theirs.convert_tokens_to_ids("film")
    assert added >= 284 and added in theirs("a film").input_ids
    assert [ours.encode(text).ids for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    again = AutoTokenizer.from_pretrained(written(source, "roberta"))
    assert [again(text).input_ids for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
