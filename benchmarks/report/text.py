"""A report for people, in Markdown: the runs' table, their settings and what they ran on."""

import textwrap
from collections.abc import Sequence

from pocketllm.runtime.run.evaluate import perplexity

from .markdown import escaped, table
from .samples import samples_section

DASH = "–"
NOT_RECORDED = "machine not recorded"
CAPTION_WIDTH = 150  # characters of small print beside each other
# In config.json, but said elsewhere or of no use to a reader.
NOT_SETTINGS = ("bundle_checksum", "train_sha256", "optimizer", "steps")


def report_text(result: dict) -> str:
    """Returns report.md; `result` is what report.json holds."""
    runs = result["runs"]
    sections = [
        f"# {len(runs)} run{'s' * (len(runs) != 1)}",
        runs_table(runs),
        "\n".join(_notes(runs)),
        *_warnings(runs),
        *_measured(runs),
        f"![{', '.join(escaped(run['run']) for run in runs)}: curves over the steps]"
        f"({result['figures'][0]})",
        f"For print: {', '.join(f'[{name}]({name})' for name in result['figures'])}.",
        *samples_section(runs),
        "## Settings",
        _settings_table(runs),
        "## Machine and versions",
        "\n".join([*_where(runs), f"- this report: {machine_line(result['machine'])}"]),
    ]
    return "\n\n".join(sections) + "\n"


def runs_table(runs: Sequence[dict]) -> str:
    """Returns a Markdown table with a row a run."""
    columns = {
        "run": lambda run: escaped(run["run"]),
        "optimizer": lambda run: run["optimizer"],
        "model, task": lambda run: run["model"] and escaped(f"{run['model']}, {run['task']}"),
        "bundle": lambda run: run["bundle_checksum"] and escaped(str(run["bundle_checksum"])[:12]),
        "steps": lambda run: f"{run['steps']:,}",
        "first loss": lambda run: loss_cell(run["first_loss"]),
        "last loss": lambda run: loss_cell(run["last_loss"]),
        "lowest loss": lambda run: loss_cell(run["lowest_loss"], run["lowest_loss_step"]),
        **_dev_columns(runs),
        "step, s": lambda run: f"{run['step_seconds']:.3f}",
        "peak anonymous, GB": lambda run: _gigabytes(run["peak_anon_bytes"]),
        "peak all pages, GB": lambda run: _gigabytes(run["peak_rss_bytes"]),
    }
    return table(list(columns), [[cell(run) or DASH for cell in columns.values()] for run in runs])


def machine_line(machine: dict) -> str:
    """Returns processor, cores, memory, system and versions in one line; Markdown-escaped."""
    memory = _gigabytes(machine["memory_bytes"], 1)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return escaped(
        f"{machine['cpu']}, {_cores(machine)}, {memory} GB memory, {machine['system']}; {versions}"
    )


def figure_caption(result: dict) -> str:
    """Returns the figure's small print: which processors and engines made the runs."""
    lines = _by_session(
        result["runs"],
        lambda session: f"{session['cpu']}, {_cores(session)}; {_without_delegate(session)}",
    )
    if len(lines) == 1:  # all runs: no need to name them
        return next(iter(lines))
    wrapped = (textwrap.wrap(f"{', '.join(lines[line])}: {line}", CAPTION_WIDTH) for line in lines)
    return "\n".join(part for parts in wrapped for part in parts)


def _notes(runs):
    notes = [
        "Losses are of single steps, each on its own minibatch (MeZO, fzoo: the mean of the step's "
        "losses), in nats. The best dev accuracy is the highest, the one of lowest loss among "
        "equals; the best dev loss, of learnt text, is the lowest, a mean over learnt tokens. A "
        "step's time is the median over all steps. Peak anonymous is the highest "
        "RssAnon + RssShmem, peak all pages the highest VmHWM, of the process that trained; GB = "
        "1e9 bytes."
    ]
    if len({run["dev_sha256"] for run in runs} - {None}) > 1:
        notes.append("\nThe dev sets differ: these figures cannot be compared.")
    return notes


def _warnings(runs):
    """Returns the section on what keeps runs from working, none where nothing does."""
    lines = [
        f"- {escaped(run['run'])}: {escaped(text)}" for run in runs for text in run["warnings"]
    ]
    return ["## Warnings", "\n".join(lines)] if lines else []


def _measured(runs):
    """Returns the section on settings that runs chose by what they measured, none without any."""
    lines = [
        f"- {escaped(run['run'])}: {escaped(text)}"
        for run in runs
        if run["measured"]
        for text in (run["measured"]["line"], *run["measured"]["advice"])
        if text
    ]
    return ["## Measured before the first step", "\n".join(lines)] if lines else []


def _settings_table(runs):
    names = dict.fromkeys(name for run in runs for name in run["config"])
    names = [name for name in names if name not in NOT_SETTINGS]
    shown = [[escaped(str(run["config"].get(name, DASH))) for name in names] for run in runs]
    rows = [[escaped(run["run"]), *cells] for run, cells in zip(runs, shown)]
    return table(["run", *map(escaped, names)], rows)


def _where(runs):
    """Returns a line for everything that ran steps, naming the runs."""
    lines = _by_session(
        runs, lambda session: f"{escaped(session['engine'])}; {machine_line(session)}"
    )
    return [f"- {escaped(', '.join(names))}: {line}" for line, names in lines.items()]


def _by_session(runs, line_of):
    """Returns {line_of(session): the runs, or parts of runs, that it made}."""
    lines = {}
    for run in runs:
        for session in run["sessions"]:
            part = f" from step {session['first_step']}" if len(run["sessions"]) > 1 else ""
            lines.setdefault(line_of(session), []).append(run["run"] + part)
        if not run["sessions"]:
            lines.setdefault(NOT_RECORDED, []).append(run["run"])
    return lines


def _without_delegate(session):
    """Returns "litert (ai-edge-litert 2.3.0, 4 threads)" of an engine's longer description."""
    return ", ".join(session["engine"].rstrip(")").split(", ")[:2]) + ")"


def _dev_columns(runs):
    """Returns the columns of the best dev evaluations: accuracy, or what learnt text has."""
    if any(map(_dev_loss, runs)):
        accuracy = {"best dev accuracy": _accuracy} if any(map(_accuracy, runs)) else {}
        return accuracy | {"best dev loss": _dev_loss}
    return {"best dev accuracy": _accuracy}


def _accuracy(run):
    if run["best_dev_accuracy"] is None:
        return ""
    return f"{100 * run['best_dev_accuracy']:.1f}% (step {run['best_dev_step']})"


def loss_cell(loss: float | None, step: int | None = None) -> str:
    """Returns a cell with a loss, and where a step is given, with that too; a dash for none."""
    if loss is None:
        return DASH
    return f"{loss:.4f}" if step is None else f"{loss:.4f} (step {step})"


def _dev_loss(run):
    """Of learnt text, whose best step is that of the lowest loss."""
    if run["best_dev_loss"] is None or run["best_dev_accuracy"] is not None:
        return ""
    loss = run["best_dev_loss"]
    return f"{loss:.4f}, perplexity {perplexity(loss):.4g} (step {run['best_dev_step']})"


def _gigabytes(count, decimals=3):
    return f"{count / 1e9:.{decimals}f}" if count else DASH


def _cores(machine):
    return f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
