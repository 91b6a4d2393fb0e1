"""What a comparison came to: its figures, and a report of them in Markdown."""

from collections.abc import Sequence
from statistics import mean

from pocketllm.benchmarks.bench.race.report import last_sections, percent
from pocketllm.benchmarks.report.markdown import table
from pocketllm.benchmarks.report.text import DASH

from .arms import ARMS, CENTRAL
from .lies import LIARS_SHARE


def summary_of(name: str, lr: float, searched: Sequence[dict], trials: Sequence[dict]) -> dict:
    """Returns an arm's figures.

    Args:
      name: of the arm.
      lr: the learning rate that it was given.
      searched: results of its search's trials, none where it took another's.
      trials: results of its compared trials, in the seeds' order.
    """
    losses = [trial["held_out"]["loss"] for trial in trials]
    return {
        "arm": name,
        "lr": lr,
        "searched": [
            {"lr": trial["lr"], "lowest": min(map(_loss, trial["curve"] or ()), default=None)}
            for trial in searched
        ],
        "held_out_accuracies": [trial["held_out"]["accuracy"] for trial in trials],
        "held_out_accuracy": mean(trial["held_out"]["accuracy"] for trial in trials),
        "held_out_loss": None if None in losses else mean(losses),
        "trials": list(trials),
    }


def below(arm: dict, arms: Sequence[dict]) -> float | None:
    """Returns how many points of accuracy an arm is below the one that it is compared with.

    Args:
      arm: of summary_of.
      arms: all of them, with the same seeds.

    Returns:
      the mean of the seeds' differences; None where the other arm did not run.
    """
    beside = ARMS[arm["arm"]].beside
    other = next((other for other in arms if other["arm"] == beside), None)
    if other is None:
        return None
    return 100 * (other["held_out_accuracy"] - arm["held_out_accuracy"])


def comparison_table(result: dict) -> str:
    """Returns the result as a table for a terminal."""
    lines = [
        f"{result['untuned']['examples']} held-out examples".ljust(48)
        + "".join(f"{head:>10}" for head in ("accuracy", "loss", "below", "allowed")),
        "  untuned".ljust(48)
        + f"{100 * result['untuned']['accuracy']:>9.1f}%{result['untuned']['loss']:>10.4f}",
    ]
    for arm in result["arms"]:
        points, allowed = below(arm, result["arms"]), ARMS[arm["arm"]].points
        numbers = (
            f"{100 * arm['held_out_accuracy']:.1f}%",
            DASH if arm["held_out_loss"] is None else f"{arm['held_out_loss']:.4f}",
            DASH if points is None else f"{points:+.1f}",
            DASH if allowed is None else f"{allowed:g}",
        )
        name = f"  {ARMS[arm['arm']].shown}, lr {arm['lr']:g}"
        lines.append(name.ljust(48) + "".join(f"{number:>10}" for number in numbers))
    return "\n".join(lines)


def comparison_text(result: dict) -> str:
    """Returns report.md; `result` is what report.json holds."""
    config, untuned = result["config"], result["untuned"]
    count, batch = config["per_round"], config["batch_size"]
    rows = count * batch
    sections = [
        "# Federations beside runs on all data",
        f"Untuned: {percent(untuned['accuracy'])}, loss {untuned['loss']:.4f}, on "
        f"{untuned['examples']} held-out examples. Every run takes {config['steps']} steps of MeZO "
        f"with a {config['schedule']} schedule. {config['clients']} clients, {count} a round with "
        f"{batch} rows each; all data in one place: {rows} rows a step, or {batch}. So a step of "
        "a federation and of a run with a round's batch are the same forward passes, two of as "
        f"many rows. Arms with liars have {count} clients, all asked; {count // LIARS_SHARE} lie.",
        _arms_table(result),
        f"Means over the seeds {', '.join(map(str, config['seeds']))}, after the last step; dev "
        "examples chose the learning rates alone, held-out ones nothing. A point is 1% of the "
        "held-out examples.",
        f"![dev loss over steps]({result['figures'][0]})",
        *last_sections(result, _search_table(result)),
    ]
    return "\n\n".join(sections) + "\n"


def _arms_table(result):
    config, rows = result["config"], []
    for arm in result["arms"]:
        kind, points = ARMS[arm["arm"]], below(arm, result["arms"])
        accuracies = arm["held_out_accuracies"]
        spread = f"{percent(min(accuracies))} to {percent(max(accuracies))}"
        ended = [trial["steps"] for trial in arm["trials"] if trial["steps"] < config["steps"]]
        rows.append(
            [
                kind.shown,
                f"{arm['lr']:g}",
                str(kind.rows(config["batch_size"], config["per_round"])),
                f"{percent(arm['held_out_accuracy'])} ({spread})"
                + (f"; no finite loss after {', '.join(map(str, ended))} steps" if ended else ""),
                DASH if arm["held_out_loss"] is None else f"{arm['held_out_loss']:.3f}",
                DASH
                if points is None
                else f"{points:+.1f} below {ARMS[kind.beside or CENTRAL].shown}",
                DASH if kind.points is None else f"{kind.points:g}",
            ]
        )
    heads = ["arm", "learning rate", "rows a step", "held-out accuracy", "loss", "points"]
    return table([*heads, "allowed"], rows)


def _search_table(result):
    rows = [
        [
            ARMS[arm["arm"]].shown,
            f"{trial['lr']:g}" + (" (taken)" if trial["lr"] == arm["lr"] else ""),
            "not finite" if trial["lowest"] is None else f"{trial['lowest']:.4f}",
        ]
        for arm in result["arms"]
        for trial in arm["searched"]
    ]
    return table(["arm", "learning rate", "lowest dev loss"], rows)


def _loss(point):
    return point["loss"]
