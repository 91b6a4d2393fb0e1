"""A comparison's curves: what the dev examples say over the steps."""

from pocketllm.benchmarks.bench.race.report import mean_curve
from pocketllm.benchmarks.report.figures import (
    COLOURS,
    LINE_STYLES,
    MARKER_SIZE,
    MARKERS,
    WIDTH,
)

from .arms import ARMS

HEIGHT = 3.4  # inches
VALUES = {
    "dev accuracy, %": lambda point: 100 * point["accuracy"],
    "dev loss, nats": lambda point: point["loss"],
}
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
    curves = [trial["curve"] for trial in arm["trials"] if trial["curve"]]
    style = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
    }
    for curve in curves:
        axes.plot(*_points(curve, value), linewidth=0.6, alpha=0.4, **style)
    marker = {"marker": MARKERS[number % len(MARKERS)], "markersize": MARKER_SIZE}
    mean = _points(mean_curve([{"curve": curve} for curve in curves]), value)
    axes.plot(*mean, label=ARMS[arm["arm"]].shown, **marker, **style)


def _points(curve, value):
    return [point["step"] for point in curve], [value(point) for point in curve]
