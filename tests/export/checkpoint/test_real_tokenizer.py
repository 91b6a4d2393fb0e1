"""SmolLM2's tokenizer, rebuilt from its GGUF file, against plain BPE and against transformers."""

import json
from pathlib import Path

import pytest
import smollm2
from byte_level_bpe import ByteLevelBpe
from small_runs import pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.tflite_models.presets import MICRO

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

TEXTS = Path(__file__).parents[2] / "golden" / "real_text"
NORMAL = 1  # type of a token in a GGUF file; others are control tokens
# transformers builds the tokenizer of a GGUF file without SmolLM2's rule that every digit stands
# alone. White space before a digit shows it.
OTHERWISE_IN_TRANSFORMERS = ("  12", "Ⅷ and ٣٤٥ and ४५६")
BEHIND = " It was"


def texts_in(name):
    """Returns the strings of a file of this project's own texts."""
    return json.loads((TEXTS / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The file with vocabulary and merges."""
    return smollm2.needed()


@pytest.fixture(scope="module")
def bundle(gguf, tmp_path_factory):
    """A bundle of SST-2."""
    out = tmp_path_factory.mktemp("smollm2") / "bundle"
    done = pocketllm(
        "export", f"--model={gguf}", "--task=sst2", "--tune=head", "--base=int8", "--lengths=64",
        f"--out={out}", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_bundle(out)


@pytest.fixture(scope="module")
def reference(gguf):
    """(plain BPE of the file's vocabulary and merges, the spellings of its special tokens)."""
    from gguf import GGUFReader

    fields = GGUFReader(gguf).fields
    tokens, merges, types = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type")
    )
    assert (len(tokens), len(merges)) == (49152, 48900)
    specials = [token for token, kind in zip(tokens, types) if kind != NORMAL]
    assert len(specials) == 17 and specials[2] == "<|im_end|>"
    return ByteLevelBpe(tokens, merges, digits=True), specials


@pytest.fixture(scope="module")
def sentences():
    """The 872 sentences of SST-2's development set."""
    lines = (MICRO / "sst2_heldout.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    assert len(lines) == 872
    return [line.split("\t")[0] for line in lines]


def test_awkward_strings_have_the_ids_of_plain_bpe(bundle, reference):
    bpe, specials = reference
    texts = texts_in("awkward_strings.json") + texts_in("paragraphs.json")
    assert len(set(texts)) >= 60
    tokenizer = load_tokenizer(bundle.tokenizer_path)
    for text in texts:
        tokenizer.encode_special_tokens = False
        assert tokenizer.encode(text).ids == bpe.encode_with(specials, text), text
        tokenizer.encode_special_tokens = True
        assert tokenizer.encode(text).ids == bpe.encode(text), text


@pytest.mark.parametrize("specials", [True, False])
def test_they_have_the_ids_of_transformers(specials, bundle, gguf):
    from desktop_child import in_child

    texts = texts_in("awkward_strings.json") + texts_in("paragraphs.json")
    expected = in_child("smollm2_reference.token_ids", gguf, texts, specials)
    tokenizer = load_tokenizer(bundle.tokenizer_path)
    tokenizer.encode_special_tokens = not specials
    actual = [tokenizer.encode(text).ids for text in texts]

    differ = {text for text, ours, theirs in zip(texts, actual, expected) if ours != theirs}
    assert differ == set(OTHERWISE_IN_TRANSFORMERS)


def test_sst2s_sentences_have_the_ids_of_both(bundle, reference, gguf, sentences):
    from desktop_child import in_child

    bpe, _ = reference
    prompts = [sentence.strip() + BEHIND for sentence in sentences]
    plain = [bpe.encode(prompt) for prompt in prompts]
    data = load_dataset(MICRO / "sst2_heldout.tsv", bundle)
    actual = [example.sequences[0].input_ids.tolist() for example in data.examples]

    assert actual == plain
    assert in_child("smollm2_reference.token_ids", gguf, prompts, False) == plain
    tokenizer = load_tokenizer(bundle.tokenizer_path)
    assert [tokenizer.encode(text).ids for text in sentences] == list(map(bpe.encode, sentences))
