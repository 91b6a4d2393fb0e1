"""What a race came to: its figures, and a report of them in Markdown."""

import shlex
from collections.abc import Sequence
from statistics import mean, median

from pocketllm.runtime import contract

from ...report.markdown import table
from ...report.text import DASH, machine_line
from .arms import ARMS, BATCH_SIZE
from .trials import SPLIT

GOALS = 0.8, 0.84  # dev accuracies that were fixed before any race was run


def summary_of(name: str, lr: float, searched: Sequence[dict], trials: Sequence[dict]) -> dict:
    """Returns an arm's figures.

    Args:
      name: of the arm.
      lr: the learning rate that it was given.
      searched: results of its search's trials.
      trials: results of its compared trials, in the seeds' order.
    """
    lasting = [trial for trial in trials if trial["curve"] is not None]
    accuracies = [trial["held_out"]["accuracy"] for trial in lasting]
    return {
        "arm": name,
        "lr": lr,
        "searched": [
            {"lr": trial["lr"], "lowest": min(trial["curve"] or (), key=_loss, default=None)}
            for trial in searched
        ],
        "steps": trials[0]["steps"],
        "forwards": trials[0]["steps"] * ARMS[name].forwards,
        "not_finite": len(trials) - len(lasting),
        "held_out_accuracy": mean(accuracies) if accuracies else None,
        "held_out_accuracies": accuracies,
        "held_out_loss": mean(trial["held_out"]["loss"] for trial in lasting) if lasting else None,
        "best_steps": [trial["held_out"]["step"] for trial in lasting],
        "step_seconds": median(trial["step_seconds"] for trial in lasting) if lasting else None,
        "peak_anon_bytes": max((trial["peak_anon_bytes"] for trial in lasting), default=None),
        "seconds_to": {f"{goal:g}": seconds_to(goal, lasting) for goal in GOALS},
        "mean_curve": mean_curve(lasting),
        "trials": list(trials),
    }


def seconds_to(goal: float, trials: Sequence[dict]) -> float | None:
    """Returns the median seconds of training to a dev accuracy; None where not all reach it."""
    firsts = [
        [point["seconds"] for point in trial["curve"] if point["accuracy"] >= goal][:1]
        for trial in trials
    ]
    return median(seconds for (seconds,) in firsts) if firsts and all(firsts) else None


def forwards_to(loss: float, arm: dict) -> int | None:
    """Returns the forward passes after which an arm's mean dev loss was first no higher.

    Args:
      loss: nats.
      arm: of summary_of.
    """
    return next(
        (
            point["step"] * ARMS[arm["arm"]].forwards
            for point in arm["mean_curve"]
            if point["loss"] <= loss
        ),
        None,
    )


def mezo_loss(arms: Sequence[dict]) -> float | None:
    """Returns the mean dev loss that MeZO ended with; None without such an arm."""
    return next((arm["mean_curve"][-1]["loss"] for arm in arms if _is_mezo(arm)), None)


def _is_mezo(arm):
    return arm["arm"] == contract.MEZO and bool(arm["mean_curve"])


def mean_curve(trials: Sequence[dict]) -> list[dict]:
    """Returns the means of the trials' curves at the steps that all of them evaluated."""
    curves = [{point["step"]: point for point in trial["curve"]} for trial in trials]
    steps = sorted(set.intersection(*map(set, curves))) if curves else []
    return [
        {"step": step}
        | {
            name: mean(curve[step][name] for curve in curves)
            for name in ("seconds", "accuracy", "loss")
        }
        for step in steps
    ]


def race_table(result: dict) -> str:
    """Returns the result as a table for a terminal."""
    untuned = result["untuned"]
    lines = [
        f"SST-2, {untuned['examples']} held-out sentences".ljust(40)
        + "".join(f"{head:>12}" for head in ("accuracy", "loss", "step, s", "anon., GB")),
        "  untuned".ljust(40) + f"{100 * untuned['accuracy']:>11.1f}%{untuned['loss']:>12.4f}",
    ]
    for arm in result["arms"]:
        name = f"  {ARMS[arm['arm']].shown}, lr {arm['lr']:g}, {arm['steps']} steps"
        if arm["held_out_accuracy"] is None:
            lines.append(f"{name:<40}    the loss did not stay finite")
            continue
        lines.append(
            f"{name:<40}{100 * arm['held_out_accuracy']:>11.1f}%{arm['held_out_loss']:>12.4f}"
            f"{arm['step_seconds']:>12.3f}{arm['peak_anon_bytes'] / 1e9:>12.3f}"
        )
    return "\n".join(lines)


def race_text(result: dict) -> str:
    """Returns report.md; `result` is what report.json holds."""
    untuned, config = result["untuned"], result["config"]
    sections = [
        f"# Race: {config['model_name']}, {config['tune']} on {config['base']}, SST-2",
        f"Untuned: {percent(untuned['accuracy'])}, loss {untuned['loss']:.4f}, on "
        f"{untuned['examples']} held-out sentences. Every arm starts there and has "
        f"{config['forwards']} forward passes of {BATCH_SIZE} rows; "
        + "; ".join(
            f"a step of {ARMS[arm['arm']].shown} counts {ARMS[arm['arm']].forwards}"
            for arm in result["arms"]
        )
        + ". A backward pass counts two forward passes, and evaluations count nothing.",
        _arms_table(result),
        f"Means over the seeds {', '.join(map(str, config['seeds']))}. The step is the best one by "
        f"accuracy on the dev rows (`--split={SPLIT}` of the package's rows of SST-2's training "
        "set), which also chose the learning rate; the held-out rows chose nothing.",
        f"![dev accuracy and loss over forward passes and seconds]({result['figures'][0]})",
        "## Curves on the dev rows",
        *map(_curve_table, result["arms"]),
        *last_sections(result, _search_table(result)),
    ]
    return "\n\n".join(sections) + "\n"


def last_sections(result: dict, search_table: str) -> list[str]:
    """Returns the sections that end a report: learning rates, the machine, the command.

    Args:
      result: of report.json.
      search_table: the learning rates that were tried.
    """
    config = result["config"]
    return [
        "## Learning rates",
        search_table,
        "## Machine and versions",
        f"{machine_line(config['machine'])}. Threads: {config['threads']}.",
        "## Again",
        f"    {shlex.join(result['command'])}",
    ]


def _arms_table(result):
    heads = ["arm", "learning rate", "steps", "forward passes", "held-out accuracy", "loss"]
    heads += ["best dev steps", "step, s", *(f"s to {percent(goal)} of dev" for goal in GOALS)]
    heads += ["forward passes to MeZO's last dev loss", "peak anonymous, GB"]
    last, rows = mezo_loss(result["arms"]), []
    for arm in result["arms"]:
        kind = ARMS[arm["arm"]]
        fixed = [kind.shown, f"{arm['lr']:g}, {kind.schedule}"]
        fixed += [str(arm["steps"]), str(arm["forwards"])]
        if arm["held_out_accuracy"] is None:
            rows.append([*fixed, "the loss did not stay finite", *[DASH] * 7])
            continue
        accuracies = arm["held_out_accuracies"]
        spread = f"{percent(min(accuracies))} to {percent(max(accuracies))}"
        if arm["not_finite"]:
            spread += f"; {arm['not_finite']} not finite"
        rows.append(
            [
                *fixed,
                f"{percent(arm['held_out_accuracy'])} ({spread})",
                f"{arm['held_out_loss']:.4f}",
                ", ".join(map(str, arm["best_steps"])),
                f"{arm['step_seconds']:.3f}",
                *(DASH if s is None else f"{s:.0f}" for s in arm["seconds_to"].values()),
                DASH if last is None else str(forwards_to(last, arm) or DASH),
                f"{arm['peak_anon_bytes'] / 1e9:.3f}",
            ]
        )
    return table(heads, rows)


def _curve_table(arm):
    forwards = ARMS[arm["arm"]].forwards
    rows = [
        [
            str(point["step"]),
            str(point["step"] * forwards),
            f"{point['seconds']:.0f}",
            percent(point["accuracy"]),
            f"{point['loss']:.4f}",
        ]
        for point in arm["mean_curve"]
    ]
    heads = [f"{ARMS[arm['arm']].shown}, step", "forward passes", "s", "dev accuracy", "dev loss"]
    return table(heads, rows)


def _search_table(result):
    rows = [
        [
            ARMS[arm["arm"]].shown,
            f"{trial['lr']:g}" + (" (taken)" if trial["lr"] == arm["lr"] else ""),
            *_lowest(trial["lowest"]),
        ]
        for arm in result["arms"]
        for trial in arm["searched"]
    ]
    return table(["arm", "learning rate", "lowest dev loss", "at step"], rows)


def _lowest(point):
    return ("not finite", DASH) if point is None else (f"{point['loss']:.4f}", str(point["step"]))


def _loss(point):
    return point["loss"]


def percent(share: float) -> str:
    """Returns a share as percent, with one digit."""
    return f"{100 * share:.1f}%"
