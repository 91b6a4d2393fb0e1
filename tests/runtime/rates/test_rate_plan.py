"""How much a run measures before its first step."""

from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.meters.figures import LEAST_PROBES
from pocketllm.runtime.rates.course import Course
from pocketllm.runtime.rates.gradients import MOST_STEPS, plan_steps
from pocketllm.runtime.rates.plan import (
    LEAST_ROWS,
    MOST_PROBES,
    MOST_SETS,
    SHARE,
    plan_of,
)


@steady
@given(
    st.integers(LEAST_ROWS, 5000),
    st.integers(1, 64),
    st.integers(1, 10**6),
    st.sampled_from([1, 3]),
)
def test_measuring_takes_a_twentieth_of_a_run_or_the_least(examples, batch_rows, calls, sizes):
    plan = plan_of(examples, batch_rows, calls, sizes=sizes)
    batches = -(-plan.rows // batch_rows)

    assert LEAST_ROWS <= plan.rows <= max(LEAST_ROWS + batch_rows, batch_rows)
    assert plan.sets * plan.rows <= examples and 1 <= plan.sets <= MOST_SETS
    assert LEAST_PROBES <= plan.probes <= MOST_PROBES
    assert plan.sets == 1 or plan.probes >= 2 * plan.sets
    assert plan.calls == batches * sizes * (2 * plan.probes + plan.sets)
    assert plan.share <= SHARE or plan.probes == LEAST_PROBES


def test_the_default_run_of_a_hundred_steps_measures_four_directions_of_two_minibatches():
    plan = plan_of(2048, 8, 100 * 2)

    assert (plan.rows, plan.sets, plan.probes, plan.calls) == (8, 2, 4, 10)


def test_long_runs_measure_more_and_no_more_than_is_of_use():
    plans = [plan_of(2048, 16, 2 * steps) for steps in (50, 100, 200, 400, 2000, 10**6)]

    assert [(plan.rows, plan.sets, plan.probes) for plan in plans] == [
        (16, 1, 3), (16, 2, 4), (16, 4, 8), (16, 8, 16), (16, 8, 64), (16, 8, 64)
    ]  # fmt: skip


@steady
@given(st.integers(1, 10**6), st.integers(1, 64), st.integers(1, 32), st.integers(1, 2000))
def test_a_range_test_takes_a_twentieth_or_the_least(steps, batch_size, batch_rows, examples):
    course = Course(batch_size, steps, 0, None, None)
    plan = plan_steps(course, Examples(examples), batch_rows)

    assert 1 <= plan.rows <= max(batch_rows, LEAST_ROWS) and 1 <= plan.probes <= MOST_STEPS
    assert plan.share <= SHARE or plan.probes == 1
    assert plan.rows <= min(batch_size, examples)


class Examples:
    """A data set of so many examples."""

    def __init__(self, count):
        self.examples = range(count)
