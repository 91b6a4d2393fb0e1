"""What roberta-micro and opt-micro share: the prompts, the label words and the two stages.

Stage 1 is language-model training on the sentences of train.tsv, without labels. Stage 2 asks half
of its rows "<sentence> It was" and the like with the label words of LABEL_WORDS. Neither " great"
nor " terrible" is ever a label word here: MeZO is to learn those. The other half of the rows gives
the excerpts that MeZO trains on.

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
TUNED_WORDS = (" terrible", " great")  # left for MeZO
TEMPLATES = (" It was", " It was", " This is", " The film is")  # the first counts twice
MAX_TOKENS = 128
EXCERPT_ROWS = (2048, 256)  # train, dev
EXCERPT_WORDS = (8, 40)


class Family(NamedTuple):
    """What sets one kind of model apart.

    Attributes:
      build_model: vocabulary size to a model with random weights.
      text_ids: (tokenizer, sentence) to the token ids of stage 1.
      prompt_ids: (tokenizer, sentence, template) to the token ids of a prompt.
      text_loss: (model, ids [B, T]) to the loss of stage 1.
      prompt_loss: (model, ids [B, T], words [B, 2], labels [B]) to the loss of stage 2.
      answer_logits: (model, prompts [B, T]) to the logits [B, V] where the label word belongs.
    """

    build_model: Callable[[int], torch.nn.Module]
    text_ids: Callable[[tokenizers.Tokenizer, str], list[int]]
    prompt_ids: Callable[[tokenizers.Tokenizer, str, str], list[int]]
    text_loss: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
    prompt_loss: Callable[..., torch.Tensor]
    answer_logits: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


class Trained(NamedTuple):
    """What training gives."""

    model: torch.nn.Module
    tokenizer: tokenizers.Tokenizer
    rows: sst2.Split


def define_flags(text_steps: int, prompt_steps: int) -> None:
    """Defines the flags of a training script; the arguments are its own defaults."""
    flags.DEFINE_string("sst2", None, "folder with train.tsv and test.tsv", required=True)
    flags.DEFINE_string("out", None, "folder for the checkpoint", required=True)
    flags.DEFINE_string("text_weights", None, "file of the weights after stage 1; read if there")
    flags.DEFINE_integer("text_steps", text_steps, "steps of stage 1")
    flags.DEFINE_integer("prompt_steps", prompt_steps, "steps of stage 2")
    flags.DEFINE_integer("vocab_size", 6000, "tokens of the vocabulary")
    flags.DEFINE_integer("threads", 1, "threads of PyTorch")
    flags.DEFINE_integer("seed", 0, "seed of the split, the weights and the batches")


def train_from_flags(family: Family, argv: list[str]) -> Trained:
    """Runs both stages as the flags of `define_flags` say."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    torch.set_num_threads(FLAGS.threads)
    torch.manual_seed(FLAGS.seed)
    rows = sst2.split_rows(pathlib.Path(FLAGS.sst2), FLAGS.seed, EXCERPT_ROWS, EXCERPT_WORDS)
    tokenizer = train_tokenizer(rows.text, FLAGS.vocab_size)
    model = family.build_model(FLAGS.vocab_size)
    logging.info("%d parameters", model.num_parameters())
    stage_1 = pathlib.Path(FLAGS.text_weights) if FLAGS.text_weights else None
    if stage_1 and stage_1.exists():
        safetensors.torch.load_model(model, stage_1)
    else:
        loss = train_text(family, model, tokenizer, rows.text, FLAGS.text_steps, FLAGS.seed + 1)
        logging.info("text loss of the last 100 steps: %.3f nats", loss)
    if stage_1 and not stage_1.exists():
        safetensors.torch.save_model(model, stage_1)
    loss = train_prompt(family, model, tokenizer, rows.prompt, FLAGS.prompt_steps, FLAGS.seed + 2)
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
    family: Family, model, tokenizer, rows: list[sst2.Row], steps: int, seed: int
) -> float:
    """Runs stage 1 on the sentences; returns the mean loss of the last 100 steps, in nats."""
    sequences = [family.text_ids(tokenizer, row.sentence) for row in rows]
    torch.manual_seed(seed)
    order = training.batches([len(ids) for ids in sequences], np.random.default_rng(seed))

    def next_loss() -> torch.Tensor:
        return family.text_loss(model, training.padded([sequences[i] for i in next(order)]))

    return training.train(model, next_loss, steps, peak_lr=1e-3)


def train_prompt(
    family: Family, model, tokenizer, rows: list[sst2.Row], steps: int, seed: int
) -> float:
    """Runs stage 2 on labelled rows; returns the mean loss of the last 100 steps, in nats."""
    sequences = [
        [family.prompt_ids(tokenizer, row.sentence, template) for template in TEMPLATES]
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
        picked = next(order)
        templates = rng.integers(len(TEMPLATES), size=len(picked))
        ids = training.padded([sequences[i][j] for i, j in zip(picked, templates)])
        pairs = words[rng.integers(len(LABEL_WORDS), size=len(picked))]  # B 2
        return family.prompt_loss(model, ids, pairs, labels[picked])

    return training.train(model, next_loss, steps, peak_lr=1e-3)


def log_accuracies(family: Family, trained: Trained) -> None:
    """Logs the accuracy with each pair of label words, those of MeZO last."""
    model, tokenizer, rows = trained
    for pair in (*LABEL_WORDS, TUNED_WORDS):
        for name, some in (("dev", rows.dev), ("held-out", rows.heldout)):
            share = accuracy(family, model, tokenizer, some, pair)
            logging.info("%s of %s rows right with %s", f"{share:.1%}", name, pair)


@torch.no_grad()
def accuracy(
    family: Family, model, tokenizer, rows: list[sst2.Row], pair: tuple[str, str]
) -> float:
    """Returns the share of rows, 0 to 1, whose label word has the higher logit of the pair."""
    words = [bpe.single_token_id(tokenizer, word) for word in pair]
    hits = 0
    for start in range(0, len(rows), 64):
        some = rows[start : start + 64]
        prompts = [family.prompt_ids(tokenizer, row.sentence, TEMPLATES[0]) for row in some]
        logits = family.answer_logits(model, training.padded(prompts))  # B V
        labels = torch.tensor([row.label for row in some])
        hits += (logits[:, words].argmax(1) == labels).sum().item()
    return hits / len(rows)


def checkpoint_files(trained: Trained, tied: set[str], texts: dict[str, str]) -> dict[str, bytes]:
    """Returns the files of a Hugging Face checkpoint, name to content.

    Args:
      trained: the model and its tokenizer.
      tied: names in the state dict that repeat another tensor and are left out.
      texts: the tokenizer's files.
    """
    state = trained.model.state_dict()
    kept = {name: state[name].contiguous() for name in sorted(set(state) - tied)}
    return {
        "model.safetensors": safetensors.torch.save(kept, {"format": "pt"}),
        "config.json": trained.model.config.to_json_string().encode(),
    } | {name: text.encode() for name, text in texts.items()}
