"""Trains opt-micro, a small OPT that MeZO can tune, from SST-2 alone.

    python -m pocketllm.tflite_models.micro.train_opt_micro --sst2=DIR --out=DIR

The stages are those of recipe.py: next-token training, then "<sentence> It was" and the like.
DIR of --sst2 holds train.tsv and test.tsv. The excerpts for MeZO are those of roberta-micro.
"""

import pathlib

import tokenizers
import transformers
from absl import app, flags

from pocketllm.runtime.host.files import write_bytes

from . import causal_lm, recipe
from . import tokenizer as bpe

FLAGS = flags.FLAGS

TIED = {"lm_head.weight"}


def build_model(vocab_size: int) -> transformers.OPTForCausalLM:
    """Returns the model with random weights."""
    config = transformers.OPTConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        word_embed_proj_dim=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        ffn_dim=512,
        activation_function="relu",
        do_layer_norm_before=True,
        max_position_embeddings=recipe.MAX_TOKENS,
        bos_token_id=bpe.BOS_ID,
        pad_token_id=bpe.PAD_ID,
        eos_token_id=bpe.EOS_ID,
        tie_word_embeddings=True,
        architectures=["OPTForCausalLM"],
        dtype="float32",
    )
    return transformers.OPTForCausalLM(config)


def text_ids(tokenizer: tokenizers.Tokenizer, sentence: str) -> list[int]:
    """Returns `<s> sentence </s>`."""
    body = bpe.piece(tokenizer, sentence.strip())
    return [bpe.BOS_ID, *body[: recipe.MAX_TOKENS - 2], bpe.EOS_ID]


def prompt_ids(tokenizer: tokenizers.Tokenizer, sentence: str, template: str) -> list[int]:
    """Returns `<s> sentence template`; the sentence is cut where the whole would be too long."""
    after = bpe.piece(tokenizer, template)
    body = bpe.piece(tokenizer, sentence.strip())
    return [bpe.BOS_ID, *body[: recipe.MAX_TOKENS - len(after) - 1], *after]


ARCHITECTURE = recipe.Architecture(
    build_model,
    text_ids,
    prompt_ids,
    causal_lm.causal_lm_loss,
    causal_lm.prompt_loss,
    causal_lm.last_logits,
)


def main(argv: list[str]) -> None:
    trained = recipe.train_from_flags(ARCHITECTURE, argv)
    texts = bpe.opt_tokenizer_files(trained.tokenizer, recipe.MAX_TOKENS)
    for name, content in recipe.checkpoint_files(trained, TIED, texts).items():
        write_bytes(pathlib.Path(FLAGS.out) / name, content)
    recipe.log_accuracies(ARCHITECTURE, trained)


if __name__ == "__main__":
    recipe.define_flags(text_steps=2000, prompt_steps=500)
    flags.adopt_module_key_flags(recipe)  # for --help
    app.run(main)
