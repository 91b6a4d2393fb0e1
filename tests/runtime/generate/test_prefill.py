"""Which signature reads how much of a prompt."""

from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.generate.prefill import prefill_plan

BUCKETS = st.lists(st.integers(2, 512), min_size=1, max_size=4, unique=True).map(sorted)


@steady
@given(st.integers(1, 2000), BUCKETS)
def test_a_plan_reads_every_token_once_in_the_fewest_calls(count, buckets):
    plan = prefill_plan(count, buckets)

    assert sum(tokens for _, tokens in plan) == count
    assert all(1 <= tokens <= bucket for bucket, tokens in plan)
    assert len(plan) == -(-count // buckets[-1])
    assert all(bucket == tokens == buckets[-1] for bucket, tokens in plan[:-1])
    last, rest = plan[-1]
    assert last in (1, *buckets) and not any(rest <= other < last for other in (1, *buckets))


def test_a_single_token_is_decoded():
    assert prefill_plan(1, (8, 16)) == [(1, 1)]
    assert prefill_plan(33, (8, 16)) == [(16, 16), (16, 16), (1, 1)]
    assert prefill_plan(34, (8, 16)) == [(16, 16), (16, 16), (8, 2)]
