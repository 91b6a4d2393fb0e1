"""Special tokens of a checkpoint's tokenizer: the ids that bundle.json gives to a device."""

from dataclasses import asdict

import pytest
from tokenizers import Tokenizer, models

from pocketllm.export.checkpoint.tokenizer import special_ids, tokenizer_for
from pocketllm.runtime.errors import InputError
from pocketllm.tflite_models.presets import MICRO

pytestmark = pytest.mark.desktop


@pytest.fixture(scope="module")
def special_tokens():
    """Returns {role: id} of a model type's tokenizer."""
    from pocketllm.export.models import architecture_named

    def ids(model_type, tokenizer):
        architecture = architecture_named(model_type, "a test")
        return asdict(special_ids(tokenizer, architecture.special_tokens, architecture.style))

    return ids


def test_robertas_are_those_of_transformers(special_tokens):
    from transformers import RobertaTokenizerFast

    theirs = RobertaTokenizerFast.from_pretrained(MICRO)

    ours = special_tokens("roberta", tokenizer_for(MICRO))

    assert ours == {"bos": 0, "eos": 2, "pad": 1, "mask": 5999}
    assert ours == {role: getattr(theirs, f"{role}_token_id") for role in ours}


def test_a_causal_model_needs_no_mask_token(special_tokens):
    tokens = {"<s>": 0, "<pad>": 1, "a": 2}

    ids = special_tokens("opt", Tokenizer(models.WordLevel(tokens)))

    assert ids == {"bos": 0, "eos": None, "pad": 1, "mask": None}
    del tokens["<pad>"]
    with pytest.raises(InputError, match="<pad> not found .* expected <s>, <pad>; give"):
        special_tokens("opt", Tokenizer(models.WordLevel(tokens)))


def test_a_tokenizer_without_robertas_special_tokens_is_refused(special_tokens):
    class Gpt2:
        def token_to_id(self, token):
            return {"</s>": 2}.get(token)

        def get_vocab_size(self):
            return 50257

    with pytest.raises(InputError, match="<s>, <pad>, <mask> not found among 50257 tokens"):
        special_tokens("roberta", Gpt2())
