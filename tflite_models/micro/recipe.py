"""The training recipe of roberta-micro and opt-micro: prompts, label words and two stages.

Stage 1 trains a language model on the sentences of train.tsv, without labels. Stage 2 trains on
half of the rows as prompts, "<sentence> It was" and similar ones, with the label words LABEL_WORDS.
" great" and " terrible" are not among these: MeZO must learn them. MeZO's excerpts are of the other
half of the rows.

Shapes: B rows, T tokens, V vocabulary.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import safetensors.torch
import tokenizers
import torch
from absl import app, flags, logging

from . import data as sst2
from . import tokenizer as bpe
from . import training

FLAGS = flags.FLAGS

LABEL_WORDS = (  # negative, positive
    (" bad", " good"),
    (" worst", " best"),
    (" dull", " funny"),
    (" awful", " wonderful"),
)
TUNED_WORDS = (" terrible", " great")  # for MeZO
TEMPLATES = (" It was", " It was", " This is", " The film is")  # the first counts twice
MAX_TOKENS = 128
EXCERPT_ROWS = (2048, 256)  # train, dev
EXCERPT_WORDS = (8, 40)


class Architecture(NamedTuple):
    """The functions in which the two models differ.

    Attributes:
      build_model: vocabulary size -> model with random weights.
      text_ids: (tokenizer, sentence) -> token ids for stage 1.
      prompt_ids: (tokenizer, sentence, template) -> token ids of a prompt.
      text_loss: (model, ids [B, T]) -> loss of stage 1.
      prompt_loss: (model, ids [B, T], words [B, 2], labels [B]) -> loss of stage 2.
      answer_logits: (model, prompts [B, T]) -> logits [B, V] at the place of the label word.
    """

    build_model: Callable[[int], torch.nn.Module]
    text_ids: Callable[[tokenizers.Tokenizer, str], list[int]]
    prompt_ids: Callable[[tokenizers.Tokenizer, str, str], list[int]]
    text_loss: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
    prompt_loss: Callable[..., torch.Tensor]
    answer_logits: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


class Trained(NamedTuple):
    """The result of training: the model, its tokenizer and the rows."""

    model: torch.nn.Module
    tokenizer: tokenizers.Tokenizer
    rows: sst2.Split


def define_flags(text_steps: int, prompt_steps: int) -> None:
    """Defines the flags of a training script; the arguments are the script's defaults."""
    flags.DEFINE_string("sst2", None, "folder with train.tsv and test.tsv", required=True)
    flags.DEFINE_string("out", None, "folder for the checkpoint", required=True)
    flags.DEFINE_string(
        "text_weights", None, "file of the weights after stage 1; read if it exists, else written"
    )
    flags.DEFINE_integer("text_steps", text_steps, "steps of stage 1")
    flags.DEFINE_integer("prompt_steps", prompt_steps, "steps of stage 2")
    flags.DEFINE_integer("vocab_size", 6000, "tokens of the vocabulary")
    flags.DEFINE_integer("threads", 1, "threads of PyTorch")
    flags.DEFINE_integer("seed", 0, "seed of the split, the weights and the batches")


def train_from_flags(architecture: Architecture, argv: list[str]) -> Trained:
    """Runs both stages with the flags of `define_flags`; raises UsageError for other arguments."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    torch.set_num_threads(FLAGS.threads)
    torch.manual_seed(FLAGS.seed)
    rows = sst2.split_rows(pathlib.Path(FLAGS.sst2), FLAGS.seed, EXCERPT_ROWS, EXCERPT_WORDS)
    tokenizer = train_tokenizer(rows.text, FLAGS.vocab_size)
    model = architecture.build_model(FLAGS.vocab_size)
    logging.info("%d parameters", model.num_parameters())
    stage_1 = pathlib.Path(FLAGS.text_weights) if FLAGS.text_weights else None
    if stage_1 and stage_1.exists():
        safetensors.torch.load_model(model, stage_1)
    else:
        steps, seed = FLAGS.text_steps, FLAGS.seed + 1
        loss = train_text(architecture, model, tokenizer, rows.text, steps=steps, seed=seed)
        logging.info("text loss of the last 100 steps: %.3f nats", loss)
    if stage_1 and not stage_1.exists():
        safetensors.torch.save_model(model, stage_1)
    steps, seed = FLAGS.prompt_steps, FLAGS.seed + 2
    loss = train_prompt(architecture, model, tokenizer, rows.prompt, steps=steps, seed=seed)
    logging.info("prompt loss of the last 100 steps: %.3f nats", loss)
    return Trained(model, tokenizer, rows)


def train_tokenizer(rows: list[sst2.Row], vocab_size: int) -> tokenizers.Tokenizer:
    """Trains the tokenizer on the sentences and the templates; every label word is one token."""
    texts = [row.sentence for row in rows]
    tokenizer = bpe.train_tokenizer(texts + [*TEMPLATES] * 1000, vocab_size)
    for pair in (*LABEL_WORDS, TUNED_WORDS):
        for word in pair:
            bpe.single_token_id(tokenizer, word)
    return tokenizer


def train_text(
    architecture: Architecture, model, tokenizer, rows: list[sst2.Row], *, steps: int, seed: int
) -> float:
    """Runs stage 1 on the sentences; returns the mean loss of the last 100 steps, in nats."""
    sequences = [architecture.text_ids(tokenizer, row.sentence) for row in rows]
    torch.manual_seed(seed)
    order = training.batches([len(ids) for ids in sequences], np.random.default_rng(seed))

    def next_loss() -> torch.Tensor:
        return architecture.text_loss(model, training.padded([sequences[i] for i in next(order)]))

    return training.train(model, next_loss, steps, peak_lr=1e-3)


def train_prompt(
    architecture: Architecture, model, tokenizer, rows: list[sst2.Row], *, steps: int, seed: int
) -> float:
    """Runs stage 2 on labelled rows; returns the mean loss of the last 100 steps, in nats."""
    sequences = [
        [architecture.prompt_ids(tokenizer, row.sentence, template) for template in TEMPLATES]
        for row in rows
    ]
    labels = torch.tensor([row.label for row in rows])
    words = torch.tensor(
        [[bpe.single_token_id(tokenizer, word) for word in pair] for pair in LABEL_WORDS]
    )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    order = training.batches([len(choices[0]) for choices in sequences], rng)

    def next_loss() -> torch.Tensor:
        members = next(order)
        templates = rng.integers(len(TEMPLATES), size=len(members))
        ids = training.padded([sequences[i][j] for i, j in zip(members, templates)])
        pairs = words[rng.integers(len(LABEL_WORDS), size=len(members))]  # B 2
        return architecture.prompt_loss(model, ids, pairs, labels[members])

    return training.train(model, next_loss, steps, peak_lr=1e-3)


def log_accuracies(architecture: Architecture, trained: Trained) -> None:
    """Logs the accuracy with each pair of label words; MeZO's pair is the last."""
    model, tokenizer, rows = trained
    for pair in (*LABEL_WORDS, TUNED_WORDS):
        for name, subset in (("dev", rows.dev), ("held-out", rows.heldout)):
            share = accuracy(architecture, model, tokenizer, subset, pair)
            logging.info("%s of %s rows right with %s", f"{share:.1%}", name, pair)


@torch.no_grad()
def accuracy(
    architecture: Architecture, model, tokenizer, rows: list[sst2.Row], pair: tuple[str, str]
) -> float:
    """Returns the share of rows, 0 to 1, whose label word has the higher logit of the pair."""
    words = [bpe.single_token_id(tokenizer, word) for word in pair]
    hits = 0
    for start in range(0, len(rows), 64):
        batch = rows[start : start + 64]
        prompts = [architecture.prompt_ids(tokenizer, row.sentence, TEMPLATES[0]) for row in batch]
        logits = architecture.answer_logits(model, training.padded(prompts))  # B V
        labels = torch.tensor([row.label for row in batch])
        hits += (logits[:, words].argmax(1) == labels).sum().item()
    return hits / len(rows)


def checkpoint_files(trained: Trained, tied: set[str], texts: dict[str, str]) -> dict[str, bytes]:
    """Returns {name: contents} of the files of a Hugging Face checkpoint.

    Args:
      trained: the model and its tokenizer.
      tied: names of tensors that repeat another one and are left out.
      texts: {name: text} of the tokenizer's files.
    """
    state = trained.model.state_dict()
    kept = {name: state[name].contiguous() for name in sorted(set(state) - tied)}
    return {
        "model.safetensors": safetensors.torch.save(kept, {"format": "pt"}),
        "config.json": trained.model.config.to_json_string().encode(),
    } | {name: text.encode() for name, text in texts.items()}
