"""Trains roberta-micro, a small RoBERTa that MeZO can tune, from SST-2 alone.

    python -m pocketllm.tflite_models.train_roberta_micro --sst2=DIR --out=DIR

Stage 1 is masked-LM training on the sentences of train.tsv, without labels. Stage 2 asks half of
its rows "<sentence> It was <mask>." and the like with the label words of LABEL_WORDS. Neither
" great" nor " terrible" is ever a label word here: MeZO is to learn those. The other half of the
rows gives the excerpts that MeZO trains on. DIR of --sst2 holds train.tsv and test.tsv.
"""

import pathlib

import numpy as np
import safetensors.torch
import tokenizers
import torch
import transformers
from absl import app, flags, logging

from pocketllm.runtime.files import write_bytes

from . import roberta_micro_data as sst2
from . import roberta_micro_tokenizer as bpe
from . import roberta_micro_training as training

FLAGS = flags.FLAGS
flags.DEFINE_string("sst2", None, "folder with train.tsv and test.tsv", required=True)
flags.DEFINE_string("out", None, "folder for the checkpoint and the excerpts", required=True)
flags.DEFINE_string("mlm", None, "file of the weights after stage 1; read if it is there")
flags.DEFINE_integer("mlm_steps", 4000, "steps of masked-LM training")
flags.DEFINE_integer("prompt_steps", 1500, "steps of prompt training")
flags.DEFINE_integer("vocab_size", 6000, "tokens of the vocabulary")
flags.DEFINE_integer("threads", 1, "threads of PyTorch")
flags.DEFINE_integer("seed", 0, "seed of the split, the weights and the batches")

LABEL_WORDS = (  # negative, positive
    (" bad", " good"),
    (" worst", " best"),
    (" dull", " funny"),
    (" awful", " wonderful"),
)
TUNED_WORDS = (" terrible", " great")  # left for MeZO
TEMPLATES = (" It was", " It was", " This is", " The film is")  # the first counts twice
MAX_TOKENS = 128
EXCERPT_ROWS = (2048, 256)  # train, dev
EXCERPT_WORDS = (8, 40)


def build_model(vocab_size: int) -> transformers.RobertaForMaskedLM:
    """Returns the model with random weights."""
    config = transformers.RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        hidden_act="gelu",
        max_position_embeddings=MAX_TOKENS + 2,  # positions start behind that of <pad>
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        tie_word_embeddings=True,
        architectures=["RobertaForMaskedLM"],
        dtype="float32",
    )
    return transformers.RobertaForMaskedLM(config)


def prompt_ids(tokenizer: tokenizers.Tokenizer, sentence: str, template: str) -> list[int]:
    """Returns `<s> sentence template <mask> . </s>`, each piece tokenised on its own."""
    before, after = piece(tokenizer, template), piece(tokenizer, ".")
    room = MAX_TOKENS - len(before) - len(after) - 3
    mask = tokenizer.token_to_id(bpe.MASK)
    body = [*piece(tokenizer, sentence)[:room], *before, mask, *after]
    return [bpe.BOS_ID, *body, bpe.EOS_ID]


def piece(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    """Returns the ids of a text without special tokens."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def train_masked_lm(model, tokenizer, rows: list[sst2.Row], steps: int, seed: int) -> float:
    """Runs stage 1 on the sentences; returns the mean loss of the last 100 steps, in nats."""
    sequences = [
        [bpe.BOS_ID, *piece(tokenizer, row.sentence)[: MAX_TOKENS - 2], bpe.EOS_ID] for row in rows
    ]
    torch.manual_seed(seed)
    order = training.batches([len(ids) for ids in sequences], np.random.default_rng(seed))

    def next_loss() -> torch.Tensor:
        ids = training.padded([sequences[i] for i in next(order)])
        return training.masked_lm_loss(model, ids)

    return training.train(model, next_loss, steps, peak_lr=1e-3)


def train_prompt(model, tokenizer, rows: list[sst2.Row], steps: int, seed: int) -> float:
    """Runs stage 2 on labelled rows; returns the mean loss of the last 100 steps, in nats."""
    sequences = [
        [prompt_ids(tokenizer, row.sentence, template) for template in TEMPLATES] for row in rows
    ]
    labels = torch.tensor([row.label for row in rows])
    words = torch.tensor(
        [[bpe.single_token_id(tokenizer, word) for word in pair] for pair in LABEL_WORDS]
    )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    order = training.batches([len(choices[0]) for choices in sequences], rng)

    def next_loss() -> torch.Tensor:
        picked = next(order)
        templates = rng.integers(len(TEMPLATES), size=len(picked))
        ids = training.padded([sequences[i][j] for i, j in zip(picked, templates)])
        pairs = words[rng.integers(len(LABEL_WORDS), size=len(picked))]  # B 2
        return training.prompt_loss(model, ids, pairs, labels[picked])

    return training.train(model, next_loss, steps, peak_lr=1e-3)


@torch.no_grad()
def accuracy(model, tokenizer, rows: list[sst2.Row], pair: tuple[str, str]) -> float:
    """Returns the share of rows, 0 to 1, whose label word has the higher logit of the pair."""
    words = [bpe.single_token_id(tokenizer, word) for word in pair]
    hits = 0
    for start in range(0, len(rows), 64):
        some = rows[start : start + 64]
        prompts = [prompt_ids(tokenizer, row.sentence, TEMPLATES[0]) for row in some]
        ids = training.padded(prompts)
        logits = training.masked_logits(model, ids, ids == model.config.vocab_size - 1)  # B V
        labels = torch.tensor([row.label for row in some])
        hits += (logits[:, words].argmax(1) == labels).sum().item()
    return hits / len(rows)


def save(model, tokenizer: tokenizers.Tokenizer, rows: sst2.Split, out: pathlib.Path) -> None:
    """Writes the checkpoint and the excerpts into a folder."""
    kept = set(model.state_dict()) - {"lm_head.decoder.weight", "lm_head.decoder.bias"}  # tied
    state = {name: model.state_dict()[name].contiguous() for name in sorted(kept)}
    files = {
        "model.safetensors": safetensors.torch.save(state, {"format": "pt"}),
        "config.json": model.config.to_json_string().encode(),
        "sst2_train.tsv": sst2.format_rows(rows.train),
        "sst2_dev.tsv": sst2.format_rows(rows.dev),
        "sst2_heldout.tsv": sst2.format_rows(rows.heldout),
    }
    texts = bpe.tokenizer_files(tokenizer, MAX_TOKENS)
    files |= {name: text.encode() for name, text in texts.items()}
    for name, content in files.items():
        write_bytes(out / name, content)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    torch.set_num_threads(FLAGS.threads)
    torch.manual_seed(FLAGS.seed)
    rows = sst2.split_rows(pathlib.Path(FLAGS.sst2), FLAGS.seed, EXCERPT_ROWS, EXCERPT_WORDS)
    texts = [row.sentence for row in rows.masked_lm]
    tokenizer = bpe.train_tokenizer(texts + [*TEMPLATES] * 1000, FLAGS.vocab_size)
    for pair in (*LABEL_WORDS, TUNED_WORDS):
        for word in pair:
            bpe.single_token_id(tokenizer, word)
    model = build_model(FLAGS.vocab_size)
    logging.info("%d parameters", model.num_parameters())
    stage_1 = pathlib.Path(FLAGS.mlm) if FLAGS.mlm else None
    if stage_1 and stage_1.exists():
        safetensors.torch.load_model(model, stage_1)
    else:
        loss = train_masked_lm(model, tokenizer, rows.masked_lm, FLAGS.mlm_steps, FLAGS.seed + 1)
        logging.info("masked-LM loss of the last 100 steps: %.3f nats", loss)
    if stage_1 and not stage_1.exists():
        safetensors.torch.save_model(model, stage_1)
    loss = train_prompt(model, tokenizer, rows.prompt, FLAGS.prompt_steps, FLAGS.seed + 2)
    logging.info("prompt loss of the last 100 steps: %.3f nats", loss)
    save(model, tokenizer, rows, pathlib.Path(FLAGS.out))
    for pair in (*LABEL_WORDS, TUNED_WORDS):
        for name, some in (("dev", rows.dev), ("held-out", rows.heldout)):
            share = accuracy(model, tokenizer, some, pair)
            logging.info("%s of %s rows right with %s", f"{share:.1%}", name, pair)


if __name__ == "__main__":
    app.run(main)
