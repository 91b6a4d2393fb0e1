"""A comparison's curves: what the dev examples say over the steps."""

from pocketllm.benchmarks.bench.race.figure import VALUES, draw_curves
from pocketllm.benchmarks.bench.race.report import mean_curve
from pocketllm.benchmarks.report.figures import WIDTH

from .arms import ARMS

HEIGHT = 3.4  # inches
MOST_LOSS = 1.2  # nats; runs that liars lead away are far beyond


def comparison_figure(result: dict):
    """Returns the matplotlib Figure of report.json's result, in Matplotlib's present style."""
    from matplotlib.figure import Figure  # without pyplot: no window, no state

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    for axes, (label, value) in zip(figure.subplots(1, len(VALUES)), VALUES.items()):
        for number, arm in enumerate(result["arms"]):
            _draw_arm(axes, arm, value, number)
        axes.set_xlabel("steps")
        axes.set_ylabel(label)
    axes.set_ylim(top=min(MOST_LOSS, axes.get_ylim()[1]))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _draw_arm(axes, arm, value, number):
    lasting = [trial for trial in arm["trials"] if trial["curve"]]
    curves = [_points(trial["curve"], value) for trial in lasting]
    mean = _points(mean_curve(lasting), value)
    draw_curves(axes, curves, mean, number=number, label=ARMS[arm["arm"]].shown, alpha=0.4)


def _points(curve, value):
    return [point["step"] for point in curve], [value(point) for point in curve]
