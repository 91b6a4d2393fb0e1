"""Trains roberta-micro, a small RoBERTa that MeZO can tune, from SST-2 alone.

    python -m pocketllm.tflite_models.micro.train_roberta_micro --sst2=DIR --out=DIR

The stages are those of recipe.py: masked-LM training, then "<sentence> It was <mask>." and
the like. DIR of --sst2 holds train.tsv and test.tsv. The excerpts for MeZO are written, too.
"""

import pathlib

import tokenizers
import torch
import transformers
from absl import app, flags

from pocketllm.runtime.host.files import write_bytes

from . import data as sst2
from . import masked_lm, recipe
from . import tokenizer as bpe

FLAGS = flags.FLAGS

TIED = {"lm_head.decoder.weight", "lm_head.decoder.bias"}


def build_model(vocab_size: int) -> transformers.RobertaForMaskedLM:
    """Returns the model with random weights."""
    config = transformers.RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        hidden_act="gelu",
        max_position_embeddings=recipe.MAX_TOKENS + 2,  # positions start behind that of <pad>
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        tie_word_embeddings=True,
        architectures=["RobertaForMaskedLM"],
        dtype="float32",
    )
    return transformers.RobertaForMaskedLM(config)


def text_ids(tokenizer: tokenizers.Tokenizer, sentence: str) -> list[int]:
    """Returns `<s> sentence </s>`."""
    return [bpe.BOS_ID, *bpe.piece(tokenizer, sentence)[: recipe.MAX_TOKENS - 2], bpe.EOS_ID]


def prompt_ids(tokenizer: tokenizers.Tokenizer, sentence: str, template: str) -> list[int]:
    """Returns `<s> sentence template <mask> . </s>`, each piece tokenised on its own."""
    before, after = bpe.piece(tokenizer, template), bpe.piece(tokenizer, ".")
    room = recipe.MAX_TOKENS - len(before) - len(after) - 3
    mask = tokenizer.token_to_id(bpe.MASK)
    body = [*bpe.piece(tokenizer, sentence)[:room], *before, mask, *after]
    return [bpe.BOS_ID, *body, bpe.EOS_ID]


def mask_logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Returns the logits [B, V] at the one `<mask>` of each row of ids [B, T]."""
    return masked_lm.masked_logits(model, ids, ids == model.config.vocab_size - 1)


ARCHITECTURE = recipe.Architecture(
    build_model,
    text_ids,
    prompt_ids,
    masked_lm.masked_lm_loss,
    masked_lm.prompt_loss,
    mask_logits,
)


def main(argv: list[str]) -> None:
    trained = recipe.train_from_flags(ARCHITECTURE, argv)
    files = recipe.checkpoint_files(
        trained, TIED, bpe.roberta_tokenizer_files(trained.tokenizer, recipe.MAX_TOKENS)
    ) | {
        "sst2_train.tsv": sst2.format_rows(trained.rows.train),
        "sst2_dev.tsv": sst2.format_rows(trained.rows.dev),
        "sst2_heldout.tsv": sst2.format_rows(trained.rows.heldout),
    }
    for name, content in files.items():
        write_bytes(pathlib.Path(FLAGS.out) / name, content)
    recipe.log_accuracies(ARCHITECTURE, trained)


if __name__ == "__main__":
    recipe.define_flags(text_steps=4000, prompt_steps=1500)
    flags.adopt_module_key_flags(recipe)  # for --help
    app.run(main)
