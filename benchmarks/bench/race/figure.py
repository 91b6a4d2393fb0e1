"""A race's curves: dev accuracy and loss over forward passes and over seconds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...report.figures import COLOURS, LINE_STYLES, MARKER_SIZE, MARKERS, PRINT_DPI, STYLE, WIDTH
from .arms import ARMS

HEIGHT = 4.4  # inches
LEGEND_COLUMNS = 2  # an arm and its learning rate are long words
AXES = {
    "forward passes of the batch": lambda arm, point: point["step"] * ARMS[arm["arm"]].forwards,
    "seconds, evaluations not counted": lambda arm, point: point["seconds"],
}
VALUES = {
    "dev accuracy, %": lambda point: 100 * point["accuracy"],
    "dev loss, nats": lambda point: point["loss"],
}


def draw(figure_of: Callable, result: dict, paths: Sequence[Path]) -> None:
    """Writes a figure: a light line a run, a dark one their mean.

    Args:
      figure_of: makes the matplotlib Figure of a result.
      result: of report.json.
      paths: .png or .svg.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = figure_of(result)
        for path in paths:
            figure.savefig(
                path, dpi=PRINT_DPI, metadata={"Date": None} if path.suffix == ".svg" else {}
            )


def draw_curves(
    axes, curves: Sequence, mean, *, number: int, label: str, alpha: float = 0.5
) -> None:
    """Draws the runs of an arm, and their mean, in the colour of its number.

    Args:
      axes: of matplotlib.
      curves: (x, y) of each run.
      mean: (x, y), or None.
      number: of the arm.
      label: of the mean.
      alpha: of the runs' lines.
    """
    style = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
    }
    for curve in curves:
        axes.plot(*curve, linewidth=0.6, alpha=alpha, **style)
    if mean:
        marker = {"marker": MARKERS[number % len(MARKERS)], "markersize": MARKER_SIZE}
        axes.plot(*mean, label=label, **marker, **style)


def race_figure(result: dict):
    """Returns the matplotlib Figure of report.json's result, in Matplotlib's present style."""
    from matplotlib.figure import Figure  # without pyplot: no window, no state

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    grid = figure.subplots(len(VALUES), len(AXES), sharex="col", sharey="row")
    for row, (label, value) in zip(grid, VALUES.items()):
        row[0].set_ylabel(label)
        for axes, place in zip(row, AXES.values()):
            for number, arm in enumerate(result["arms"]):
                _draw_arm(axes, arm, place, value, number)
    for axes, label in zip(grid[-1], AXES):
        axes.set_xlabel(label)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=LEGEND_COLUMNS, frameon=False)
    return figure


def _draw_arm(axes, arm, place, value, number):
    """Draws an arm into one pair of axes."""
    curves = [_points(arm, t["curve"], place, value) for t in arm["trials"] if t["curve"]]
    label = f"{ARMS[arm['arm']].shown}, lr {arm['lr']:g} (mean of {len(curves)})"
    mean = _points(arm, arm["mean_curve"], place, value) if arm["mean_curve"] else None
    draw_curves(axes, curves, mean, number=number, label=label)


def _points(arm, curve, place, value):
    return [place(arm, point) for point in curve], [value(point) for point in curve]
