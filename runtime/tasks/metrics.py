"""What SuperGLUE reports beside accuracy, from predictions."""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

POSITIVE = 1  # the class that MultiRC's F1 is of: a right answer
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Prediction:
    """What the model chose for one example.

    Attributes:
      chosen: the class or option.
      golds: the right ones.
      group: shared by the answers to one question, or None.
      answers: what each option answers, where the data says it.
    """

    chosen: int
    golds: tuple[int, ...]
    group: str | None = None
    answers: tuple[str, ...] = ()


def accuracy(predictions: Sequence[Prediction]) -> float:
    """Returns the share of predictions that are one of the golds."""
    return sum(one.chosen in one.golds for one in predictions) / len(predictions)


def measured(names: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, float]:
    """Returns the metrics of these names, without those that need groups where there are none."""
    found = {name: METRICS[name](predictions) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _macro_f1(predictions):
    """F1 of every class that was predicted or right, unweighted mean."""
    classes = {one.golds[0] for one in predictions} | {one.chosen for one in predictions}
    return sum(_class_f1(predictions, number) for number in classes) / len(classes)


def _f1_of_answers(predictions):
    return _class_f1(predictions, POSITIVE)


def _exact_match(predictions):
    """Share of examples answered in the words of a gold (ReCoRD), or of groups all right (MultiRC).

    None where answers of a group may be missing: of examples that were drawn one by one.
    """
    if all(one.answers for one in predictions):
        return _mean_of_best(predictions, lambda answer, gold: float(answer == gold))
    if any(one.group is None for one in predictions):
        return None
    right = defaultdict(lambda: True)
    for one in predictions:
        right[one.group] &= one.chosen in one.golds
    return sum(right.values()) / len(right)


def _f1(predictions):
    return _mean_of_best(predictions, _word_f1)


METRICS: dict[str, Callable[[Sequence[Prediction]], float | None]] = {
    "macro_f1": _macro_f1,
    "f1_a": _f1_of_answers,
    "exact_match": _exact_match,
    "f1": _f1,
}


def _class_f1(predictions, number):
    held = [(one.chosen == number, one.golds[0] == number) for one in predictions]
    right = held.count((True, True))
    wrong = held.count((True, False)) + held.count((False, True))
    return 2 * right / (2 * right + wrong) if right else 0.0


def _mean_of_best(predictions, score):
    """Mean over examples of the chosen answer's score against the gold that it is nearest to."""
    best = [
        max(score(_words(one.answers[one.chosen]), _words(one.answers[gold])) for gold in one.golds)
        for one in predictions
    ]
    return sum(best) / len(best)


def _word_f1(answer, gold):
    common = sum((Counter(answer) & Counter(gold)).values())
    return 2 * common / (len(answer) + len(gold)) if common else 0.0


def _words(text):
    """Normalises as SQuAD does: lower case, no punctuation, no articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()
