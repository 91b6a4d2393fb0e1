"""Metrics, against values worked out by hand and plain counting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.tasks.metrics import METRICS, Prediction, accuracy, measured

pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30)


def chosen(pairs):
    return [Prediction(chosen, (gold,)) for chosen, gold in pairs]


def answered(text, *golds):
    return Prediction(0, tuple(range(1, len(golds) + 1)), None, (text, *golds))


def test_accuracy_is_the_share_that_is_any_of_the_golds():
    predictions = [Prediction(1, (0, 1)), Prediction(2, (0, 1)), Prediction(0, (0,))]

    assert accuracy(predictions) == 2 / 3


def test_macro_f1_by_hand():
    # class 0: 2 of 3 found, none wrong: F1 0.8; class 1: 1 of 1, one wrong: 2/3; class 2 nowhere.
    assert METRICS["macro_f1"](chosen([(0, 0), (0, 0), (1, 0), (1, 1)])) == pytest.approx(
        (0.8 + 2 / 3) / 2
    )
    # A class that is only predicted, or only right, counts with 0.
    assert METRICS["macro_f1"](chosen([(0, 0), (2, 0)])) == pytest.approx((2 / 3 + 0) / 2)
    assert METRICS["macro_f1"](chosen([(1, 0)])) == 0


@steady
@given(pairs)
def test_class_f1s_are_the_harmonic_means_of_precision_and_recall(pairs):
    def f1(number):
        predicted = [gold for chosen, gold in pairs if chosen == number]
        right = [chosen for chosen, gold in pairs if gold == number]
        precision = predicted.count(number) / len(predicted) if predicted else 0
        recall = right.count(number) / len(right) if right else 0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0

    classes = {number for pair in pairs for number in pair}
    assert METRICS["macro_f1"](chosen(pairs)) == pytest.approx(sum(map(f1, classes)) / len(classes))
    assert METRICS["f1_a"](chosen(pairs)) == pytest.approx(f1(1))


def test_a_question_is_right_when_all_its_answers_are():
    judged = [("a", 1, 1), ("a", 0, 0), ("b", 1, 1), ("b", 1, 0), ("c", 0, 0), ("b", 0, 0)]
    predictions = [Prediction(chosen, (gold,), group) for group, chosen, gold in judged]

    names = ("f1_a", "exact_match")
    assert measured(names, predictions) == {"f1_a": 0.8, "exact_match": 2 / 3}
    # Of a question that may miss answers nobody can say that.
    ungrouped = [*predictions, Prediction(1, (1,))]
    assert list(measured(names, ungrouped)) == ["f1_a"]


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("The U.S. Open", ["us open"], 1, 1),
        ("Chelsea", ["Chelsea F.C.", "the Blues"], 0, 2 / 3),
        ("Diego Costa", ["Kurt Zouma", "Costa"], 0, 2 / 3),
        ("John", ["Paul"], 0, 0),
        ("a b b", ["b b c"], 0, 0.8),  # "a" is an article; "b" counts twice
        ("The", ["the"], 1, 0),  # nothing is left of either
        ("Zagreb\u00a0city", ["zagreb  city"], 1, 1),
    ],
)
def test_answers_are_compared_as_in_squad(answer, golds, exact, f1):
    values = measured(("exact_match", "f1"), [answered(answer, *golds)])

    assert values == {"exact_match": exact, "f1": pytest.approx(f1)}


def test_answers_are_averaged_over_examples():
    predictions = [answered("x", "x"), answered("x y", "x"), answered("z", "x")]

    assert measured(("exact_match", "f1"), predictions) == {
        "exact_match": pytest.approx(1 / 3),
        "f1": pytest.approx((1 + 2 / 3 + 0) / 3),
    }
