"""A run as a picture: training loss and dev accuracy over the steps."""

from pathlib import Path

from pocketllm.runtime.records import read_evaluations, read_steps

SMOOTHED_STEPS = 20


def plot_runs(held_out: dict[Path, tuple[int, float]], untuned_accuracy: float, path: Path) -> None:
    """Writes a PNG of one or more runs.

    Args:
      held_out: run directory, one line each -> (step, accuracy) evaluated on held-out data.
      untuned_accuracy: held-out accuracy before training.
      path: file to write.
    """
    import matplotlib

    matplotlib.use("Agg")  # no window: the file is the result
    from matplotlib import pyplot

    figure, (top, bottom) = pyplot.subplots(2, 1, figsize=(8, 7), sharex=True)
    for folder, evaluated in held_out.items():
        steps = read_steps(folder)
        losses = [(step.loss_plus + step.loss_minus) / 2 for step in steps]
        numbers = [step.step for step in steps]
        (line,) = top.plot(numbers, _smoothed(losses), label=Path(folder).name)
        top.plot(numbers, losses, alpha=0.15, color=line.get_color())
        evaluations = read_evaluations(folder)
        bottom.plot(
            [record.step for record in evaluations],
            [record.accuracy for record in evaluations],
            marker="o",
            markersize=4,
            color=line.get_color(),
            label=f"{Path(folder).name}, dev",
        )
        bottom.plot(
            *zip((0, untuned_accuracy), evaluated),
            linestyle="none",
            marker="*",
            markersize=12,
            color=line.get_color(),
            label=f"{Path(folder).name}, held-out (untuned, best)",
        )
    top.set_ylabel(f"training loss (mean of {SMOOTHED_STEPS} steps)")
    bottom.set_ylabel("accuracy")
    bottom.set_xlabel("MeZO step")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _smoothed(values: list[float]) -> list[float]:
    """Means of each value and up to SMOOTHED_STEPS - 1 before it."""
    windows = (values[max(0, i + 1 - SMOOTHED_STEPS) : i + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]
