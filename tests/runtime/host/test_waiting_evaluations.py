"""Dev evaluations wait for battery and heat, as the steps of a run do."""

import json
from dataclasses import replace

from small_runs import run_config

from pocketllm.runtime.host.pauses import Limits, Pauses
from pocketllm.runtime.host.power import DeviceState
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train

pytest_plugins = ["runtime_fixtures"]

LIMITS = Limits(max_temp=40, min_battery=20, only_charging=True)
FINE = DeviceState(battery_percent=50, battery_celsius=39.5, charging=True)


def test_evaluations_wait_as_steps_do(golden_bundle, open_ready, train_data, dev_data, tmp_path):
    """The first line holds what was measured before the evaluation in front of it."""
    events = []

    def awaited(say):
        events.append("wait")
        return {"battery_celsius": 30.5} if len(events) == 1 else {}

    listener = Listener(
        awaited=awaited,
        stepped=lambda step, seconds: events.append(step.step),
        evaluated=lambda step, evaluation: events.append(f"evaluated {step}"),
    )
    model = open_ready(golden_bundle, "litert")
    config = run_config(golden_bundle, train_data, steps=3)
    train(model, train_data, tmp_path / "run", config, dev_data, eval_every=2, listener=listener)

    assert events == [
        "wait", "evaluated 0", "wait", 1, "wait", 2, "wait", "evaluated 2", "wait", 3,
        "wait", "evaluated 3",
    ]  # fmt: skip
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line).get("battery_celsius") for line in lines] == [30.5, None, None]


def test_an_evaluation_waits_until_a_hot_battery_is_cooler(
    golden_bundle, open_ready, train_data, dev_data, tmp_path
):
    hot, lines = replace(FINE, battery_celsius=41.0), []
    read = iter([FINE, hot, replace(hot, battery_celsius=None), replace(hot, battery_celsius=30.0)])
    pause = Pauses(LIMITS, lambda: next(read, FINE), sample_seconds=0.01)
    listener = Listener(
        awaited=pause, say=lines.append, evaluated=lambda step, _: lines.append(f"evaluated {step}")
    )

    model, config = (
        open_ready(golden_bundle, "litert"),
        run_config(golden_bundle, train_data, steps=3),
    )
    train(model, train_data, tmp_path / "run", config, dev_data, listener=listener)

    lines = [line for line in lines if not line.startswith("warning")]  # of so short a run
    assert [line.partition(":")[0] for line in lines[:2]] == ["paused", "paused"]
    assert "41.0" in lines[0] and "does not tell" in lines[1]
    assert lines[2].startswith("going on after ") and lines[3:] == ["evaluated 0", "evaluated 3"]
