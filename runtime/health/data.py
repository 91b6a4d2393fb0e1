"""Warnings that data give before a run starts."""

from collections.abc import Iterator

from .. import contract
from ..data.dataset import Dataset
from ..data.encoded import EncodedExample
from .record import RunWarning

TRAIN_ONE_CLASS, DEV_ONE_CLASS, DEV_IN_TRAIN = "train-one-class", "dev-one-class", "dev-in-train"
ALL_CUT = "all-cut"
TRAIN_KINDS, DEV_KINDS = (TRAIN_ONE_CLASS, ALL_CUT), (DEV_ONE_CLASS, DEV_IN_TRAIN)
WITH_CLASSES = (contract.WORDS, contract.OPTIONS)  # scorings whose options are the task's classes


def data_warnings(data: Dataset, dev: Dataset | None, scoring: str) -> Iterator[RunWarning]:
    """Yields what is wrong with a run's examples.

    Args:
      data: to train on.
      dev: to choose the best step by.
      scoring: the bundle's, one of contract.SCORINGS.
    """
    if scoring in WITH_CLASSES and _is_of_one_class(data):
        yield RunWarning(
            TRAIN_ONE_CLASS,
            f"{data.path}: all {len(data.examples)} training examples have the same label, so the "
            "model learns to give it to everything; train on examples of every label",
        )
    if scoring == contract.TOKEN_LOSS and _loses_learnt(data):
        yield RunWarning(
            ALL_CUT,
            f"{data.path}: each of the {len(data.examples)} training examples loses tokens that "
            f"are learnt, cut to fit {data.cut}, so the model does not see how these texts end; "
            f"{data.remedy}",
        )
    if dev is None:
        return
    if scoring in WITH_CLASSES and _is_of_one_class(dev):
        yield RunWarning(
            DEV_ONE_CLASS,
            f"{dev.path}: all {len(dev.examples)} dev examples have the same label, so a model "
            "that gives it to everything looks best; take a dev set of every label",
        )
    known = {_key(example) for example in data.examples}
    if len(dev.examples) > 1 and all(_key(example) in known for example in dev.examples):
        yield RunWarning(
            DEV_IN_TRAIN,
            f"{dev.path}: all {len(dev.examples)} dev examples are among those trained on, so the "
            "best step is the one that knows them by heart; keep some examples for the dev set",
        )


def _is_of_one_class(data: Dataset) -> bool:
    return len(data.examples) > 1 and len({example.golds for example in data.examples}) == 1


def _loses_learnt(data: Dataset) -> bool:
    return len(data.examples) > 1 and data.learnt_truncated == len(data.examples)


def _key(example: EncodedExample) -> tuple:
    """Returns what two examples share if they are the same; options that are not trained on
    may be missing."""
    return example.golds[:1], example.sequences[0].input_ids.tobytes()
