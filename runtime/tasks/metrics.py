"""SuperGLUE's metrics beside accuracy, computed from predictions."""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

POSITIVE = 1  # MultiRC's F1 is that of this class, right answers
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Prediction:
    """The model's choice for one example.

    Attributes:
      chosen: class or option.
      golds: right classes or options.
      group: key that the answers to one question share, or None.
      answers: the answer that each option stands for, where the data has it.
    """

    chosen: int
    golds: tuple[int, ...]
    group: str | None = None
    answers: tuple[str, ...] = ()


def accuracy(predictions: Sequence[Prediction]) -> float:
    """Returns the share of predictions that are one of the golds."""
    return sum(prediction.chosen in prediction.golds for prediction in predictions) / len(
        predictions
    )


def measured(names: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, float]:
    """Returns the metrics of these names, without those that need groups where there are none."""
    values = {name: METRICS[name](predictions) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _macro_f1(predictions):
    """F1 of every class that was predicted or right, unweighted mean."""
    right = {prediction.golds[0] for prediction in predictions}
    classes = right | {prediction.chosen for prediction in predictions}
    return sum(_class_f1(predictions, number) for number in classes) / len(classes)


def _f1_of_answers(predictions):
    return _class_f1(predictions, POSITIVE)


def _exact_match(predictions):
    """Share of examples answered in the words of a gold (ReCoRD), or of groups all right (MultiRC).

    None where answers of a group may be missing: of examples that were drawn one by one.
    """
    if all(prediction.answers for prediction in predictions):
        return _mean_of_best(predictions, _equal)
    if any(prediction.group is None for prediction in predictions):
        return None
    right = defaultdict(lambda: True)
    for prediction in predictions:
        right[prediction.group] &= prediction.chosen in prediction.golds
    return sum(right.values()) / len(right)


def _f1(predictions):
    return _mean_of_best(predictions, _word_f1)


def _equal(answer, gold):
    return float(answer == gold)


METRICS: dict[str, Callable[[Sequence[Prediction]], float | None]] = {
    "macro_f1": _macro_f1,
    "f1_a": _f1_of_answers,
    "exact_match": _exact_match,
    "f1": _f1,
}


def _class_f1(predictions, number):
    judged = [
        (prediction.chosen == number, prediction.golds[0] == number) for prediction in predictions
    ]
    right = judged.count((True, True))
    wrong = judged.count((True, False)) + judged.count((False, True))
    return 2 * right / (2 * right + wrong) if right else 0.0


def answer_scores(
    names: Sequence[str],
) -> dict[str, Callable[[Sequence[int], Sequence[str]], list[float]]]:
    """Returns those of these metrics whose value is the mean of what the chosen options score.

    Each is a function of (golds, answers) that returns the score of every option, were it chosen:
    with these a program has the metric without knowing of texts.
    """
    scores = {"exact_match": _equal, "f1": _word_f1}
    return {name: partial(_best_scores, scores[name]) for name in names if name in scores}


def _mean_of_best(predictions, score):
    """Mean over examples of the chosen answer's score against the gold that it is nearest to."""
    best = [_best_scores(score, p.golds, p.answers, [p.chosen])[0] for p in predictions]
    return sum(best) / len(best)


def _best_scores(score, golds, answers, options=None):
    """Returns the score of each option (all, by default) against the gold it is nearest to."""
    words = [_words(answer) for answer in answers]
    chosen = range(len(words)) if options is None else options
    return [max(score(words[option], words[gold]) for gold in golds) for option in chosen]


def _word_f1(answer, gold):
    common = sum((Counter(answer) & Counter(gold)).values())
    return 2 * common / (len(answer) + len(gold)) if common else 0.0


def _words(text):
    """Normalises as SQuAD does: lower case, no punctuation, no articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()
