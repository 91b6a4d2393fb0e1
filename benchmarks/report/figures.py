"""Runs as curves over their steps, on shared axes, for print: PNG and SVG.

Every run has a colour that colour-blind readers tell apart (Okabe and Ito's), a line style and a
marker, so that the figure also reads in grey.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import Run, known_losses, running_median, smoothing_window

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# As many as have no divisor in common with the colours: 35 runs before two look alike.
LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)))
MARKERS = ("o", "s", "^", "D", "v")
WIDTH, PANEL_HEIGHT = 7.0, 2.05  # inches: the text width of A4
PRINT_DPI = 300
MARKER_SIZE, LEGEND_COLUMNS = 3.5, 4
LOG_FROM = 100  # highest / lowest: from two decades on a logarithmic axis
OUTLIER = 2  # times the highest median and 99 of 100 points: not on the axis
MOST_VECTOR_POINTS = 2000  # of one run; more become a picture inside the SVG
GREY = "#777777"
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pocketllm",  # the same runs give the same file
}

GRADIENT = "projected_grad"  # of the steps of an optimizer that measures one

Points = list[tuple[int, float]]  # (step, value)


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
      label: of the vertical axis, with the unit.
      points: what it shows of a run, nothing where the run has no such thing.
      drawn: "median" (running median over light points), "line", or "marked" (line and markers).
      from_zero: whether a linear axis begins at 0.
    """

    label: str
    points: Callable[[Run], Points]
    drawn: str = "median"
    from_zero: bool = True


def _accuracies(run):
    accuracies = [(record.step, record.accuracy) for record in run.evaluations]
    return [(step, 100 * accuracy) for step, accuracy in accuracies if accuracy is not None]


def _dev_losses(run):
    """Of learnt text alone: beside an accuracy the loss says little."""
    return [(record.step, record.loss) for record in run.evaluations if record.accuracy is None]


def _gradients(run):
    # Magnitudes: the sign says nothing, z and -z are equally likely.
    return [(step.step, abs(step.projected_grad)) for step in run.steps if hasattr(step, GRADIENT)]


def _gigabytes(name):
    """Returns the points of a memory figure; 0 bytes mean "not measured"."""
    return lambda run: [
        (cost.step, getattr(cost, name) / 1e9) for cost in run.costs if getattr(cost, name)
    ]


LOSS = Panel(
    "training loss, nats",
    known_losses,
    "median",
    False,
)
ACCURACY = Panel("dev accuracy, %", _accuracies, "marked", False)
PANELS = (
    LOSS,
    ACCURACY,
    Panel("dev loss, nats per learnt token", _dev_losses, "marked", False),
    Panel("|projected gradient|,\nnats per unit of z", _gradients),
    Panel("time per step, s", lambda run: [(cost.step, cost.seconds) for cost in run.costs]),
    Panel("peak anonymous memory, GB", _gigabytes("peak_anon_bytes"), "line"),
    Panel("peak memory, all pages, GB", _gigabytes("peak_rss_bytes"), "line"),
)


def draw_runs(
    runs: Sequence[Run],
    paths: Sequence[Path],
    panels: Sequence[Panel] = PANELS,
    *,
    columns: int = 2,
    caption: str = "",
    held_out: Mapping[str, Points] = {},
) -> None:
    """Writes one figure to files of these names; panels that no run has data for are left out.

    Args:
      runs: at least one.
      paths: .png or .svg.
      panels: some of PANELS, row by row.
      columns: panels side by side.
      caption: small print under the figure.
      held_out: run name -> (step, accuracy), stars in the panel of the dev accuracy.
    """
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no window, no state
    from matplotlib.ticker import MaxNLocator

    shown = [panel for panel in panels if any(panel.points(run) for run in runs)]
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    with matplotlib.rc_context(STYLE):
        height = PANEL_HEIGHT * rows + 0.45 + 0.16 * -(-len(runs) // LEGEND_COLUMNS)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
        for number, axes in enumerate(grid):
            axes.set_visible(number < len(shown))
            if number + columns >= len(shown):  # nothing stands below it
                axes.set_xlabel("step")
                axes.tick_params(labelbottom=True)
                axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        for axes, panel in zip(grid, shown):
            _draw_panel(axes, panel, runs)
            for number, run in enumerate(runs if panel == ACCURACY else ()):
                for step, accuracy in held_out.get(run.name, ()):
                    axes.plot(step, 100 * accuracy, "*", markersize=9, color=_colour(number))
        _legend(figure, runs, bool(held_out))
        if caption:
            small = {"fontsize": 6, "color": "#555555", "parse_math": False}
            figure.supxlabel(caption, x=0.01, ha="left", **small)
        for path in paths:
            # Neither file says when it was made: the same runs give the same bytes.
            figure.savefig(
                path, dpi=PRINT_DPI, metadata={"Date": None} if path.suffix == ".svg" else {}
            )


def _draw_panel(axes, panel, runs):
    axes.set_ylabel(panel.label)
    lines, points = [], []
    for number, run in enumerate(runs):
        if drawn := panel.points(run):
            lines += _draw_run(axes, panel, run, number, drawn)
            points += [value for _, value in drawn]
    if min(lines) > 0 and max(lines) / min(lines) >= LOG_FROM:
        axes.set_yscale("log")
        return
    if panel.from_zero:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    _cut_outliers(axes, max(lines), points)


def _draw_run(axes, panel, run, number, points):
    """Draws one run; returns the values that its line goes through."""
    steps, values = zip(*points)
    window = smoothing_window(run) if panel.drawn == "median" else 1
    medians = running_median(values, window)
    style = _style(number) if panel.drawn == "marked" else _line_style(number)
    axes.plot(steps, medians, markersize=MARKER_SIZE, **style)
    if panel.drawn == "median" or len(points) == 1:
        axes.scatter(
            steps,
            values,
            s=10 if window == 1 else 4,
            alpha=0.8 if window == 1 else max(0.06, min(0.3, 100 / len(points))),
            color=_colour(number),
            linewidths=0,
            rasterized=len(points) > MOST_VECTOR_POINTS,
        )
    return medians


def _cut_outliers(axes, highest_median, points):
    """Ends the axis below a few points far above the rest, and says so: a machine that slept."""
    limit = OUTLIER * max(highest_median, sorted(points)[int(0.99 * (len(points) - 1))])
    above = [value for value in points if value > limit > 0]
    if above:
        axes.set_ylim(axes.get_ylim()[0], limit)
        note = f"above: {len(above)} step{'s' * (len(above) != 1)}, up to {max(above):.3g}"
        axes.text(0.99, 0.97, note, transform=axes.transAxes, ha="right", va="top", fontsize=6)


def _legend(figure, runs, stars):
    """Puts one legend over all panels: the runs, then what points, lines and stars are."""
    from matplotlib.lines import Line2D

    numbers = range(len(runs))
    handles = [Line2D([], [], markersize=MARKER_SIZE, **_style(number)) for number in numbers]
    labels = [run.name for run in runs]
    windows = sorted({smoothing_window(run) for run in runs})
    if windows[-1] > 1:
        handles.append(Line2D([], [], marker=".", markersize=4, linestyle="none", color=GREY))
        handles.append(Line2D([], [], color=GREY))
        spread = " to ".join(str(window) for window in dict.fromkeys((windows[0], windows[-1])))
        labels += ["single steps", f"running median of {spread} steps"]
    if stars:
        handles.append(Line2D([], [], marker="*", markersize=8, linestyle="none", color=GREY))
        labels.append("held-out: untuned, tuned")
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(LEGEND_COLUMNS, len(labels)),
        frameon=False,
        handlelength=3.6,  # room for the longest dashes
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a folder's name may hold dollar signs


def _colour(number):
    return COLOURS[number % len(COLOURS)]


def _line_style(number):
    return {"color": _colour(number), "linestyle": LINE_STYLES[number % len(LINE_STYLES)]}


def _style(number) -> dict[str, Any]:
    return _line_style(number) | {"marker": MARKERS[number % len(MARKERS)]}
