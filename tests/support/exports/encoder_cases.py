"""Tiny encoders with random weights: BERT, DistilBERT and ModernBERT, and their tokenizers."""

import json
from pathlib import Path

import tiny

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("terrible", "great", "it", "was", "film", "no", "yes", "maybe")
PIECES = [*LETTERS, *(f"##{letter}" for letter in LETTERS), *".,?:;!#'()", *WORDS]
SIZES = {
    "bert": tiny.CONFIG | {"type_vocab_size": 2, "layer_norm_eps": 1e-12},
    "distilbert": {
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "activation": "gelu",
        "max_position_embeddings": 40,
    },
    "modernbert": {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 40,
        "local_attention": 6,
        "global_attn_every_n_layers": 2,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    },
}
# Name: (model type, changes of the sizes). The first case of a model type is the plain one.
CASES = {
    "bert": ("bert", {}),
    "bert_relu_untied": (
        "bert",
        {"hidden_act": "relu", "tied": False, "type_vocab_size": 1, "num_attention_heads": 4},
    ),
    "distilbert": ("distilbert", {}),
    "distilbert_sinusoidal_untied": (
        "distilbert",
        {"activation": "relu", "sinusoidal_pos_embds": True, "tied": False, "n_layers": 1},
    ),
    "modernbert": ("modernbert", {}),
    "modernbert_every_bias": (
        "modernbert",
        {
            "num_hidden_layers": 2,
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "classifier_bias": True,
            "decoder_bias": False,
            "hidden_activation": "silu",
            "classifier_activation": "relu",
            "tied": False,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
            },
        },
    ),
}


def write_word_pieces(folder: Path, words: tuple[str, ...] = ()) -> int:
    """Writes vocab.txt, as Google published BERT's; returns the vocabulary's size."""
    tokens = [*SPECIAL_TOKENS, *PIECES, *words]
    assert len(set(tokens)) == len(tokens)
    (folder / "vocab.txt").write_text("\n".join([*tokens, ""]), encoding="utf-8")
    return len(tokens)


def write_byte_pairs(folder: Path, words: tuple[str, ...] = ()) -> int:
    """Writes tokenizer.json of a byte-level BPE, as ModernBERT has; returns the tokens' number."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tiny.write_tokenizer(folder, tiny.WORDS + words)
    files = folder / "vocab.json", folder / "merges.txt"
    tokenizer = Tokenizer(models.BPE.from_file(*map(str, files)))
    for path in files:
        path.unlink()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, lstrip=token == "[MASK]", normalized=False) for token in SPECIAL_TOKENS]
    )
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS)
    spelled = {f"{role}_token": token for role, token in roles}
    write_settings(folder, tokenizer_class="PreTrainedTokenizerFast", **spelled)
    return tokenizer.get_vocab_size()


def write(
    folder: Path,
    model_type: str = "bert",
    seed: int = 0,
    tied: bool = True,
    label_words: tuple[str, ...] = (),
    **changes,
) -> Path:
    """Saves a masked language model through transformers.

    Args:
      folder: made here.
      model_type: of SIZES.
      seed: of the weights.
      tied: whether the decoder is the word embeddings.
      label_words: one token each, beside those of WORDS.
      changes: of the sizes.
    """
    import transformers

    from pocketllm.export.models import ARCHITECTURES

    folder.mkdir(parents=True)
    write_tokenizer = write_byte_pairs if model_type == "modernbert" else write_word_pieces
    vocab_size = write_tokenizer(folder, label_words)
    values = {"vocab_size": vocab_size, "tie_word_embeddings": tied} | SIZES[model_type] | changes
    kind = getattr(transformers, ARCHITECTURES[model_type].hf_class)
    tiny.save_random(kind(kind.config_class(**values)), folder, seed)
    return folder


def write_settings(folder: Path, **settings) -> None:
    """Writes tokenizer_config.json."""
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
