"""The report of a reproduction as Markdown."""

import shlex

from pocketllm.runtime.contract import ADAM, MEZO

from ..report.markdown import escaped, table
from ..report.text import DASH, machine_line
from .cell import DONE, OUT_OF_MEMORY
from .plan import MICRO_SHARE, MODELS, POCKETLLM, PYTORCH

# The optimizers that the paper compares, as it writes them.
OPTIMIZERS = {MEZO: "MeZO", ADAM: "Adam"}
SIDES = {POCKETLLM: "ours", PYTORCH: "PyTorch"}


def cell_line(result: dict) -> str:
    """Returns in one line how a cell ended."""
    limit = f"{result['limit_bytes'] / 1e9:g} GB, {result['limit_kind']}"
    if result["outcome"] == OUT_OF_MEMORY:
        return f"out of memory ({limit}; {result['ended']}) after {result['steps_taken']} steps"
    return (
        f"{result['step_seconds']:.3f} s a step, peak {result['peak_anon_bytes'] / 1e9:.3f} GB "
        f"anonymous, {result['peak_rss_bytes'] / 1e9:.3f} GB all pages (limit {limit})"
    )


def reproduction_text(result: dict) -> str:
    """Returns the text of report.md; `result` has the contents of report.json."""
    config, cells = result["config"], result["cells"]
    missing = [name for name, cell in cells.items() if cell is None]
    sections = [
        f"# PocketLLM reproduced, scale {config['scale']}",
        "\n".join(f"- {line}" for line in _conditions(config)),
        f"Not run yet: {', '.join(missing)}." if missing else "",
        "## What was observed",
        "\n".join(f"- {line}" for line in _observed(result)) or "Nothing yet.",
        "## Figure 1: loss over the steps",
        _figure1(result),
        "## Table 1: peak memory, GB",
        _memory_table(result),
        "Anonymous is the highest RssAnon + RssShmem of the process, which nothing can drop, all "
        "pages its highest VmHWM, up to the end of the last step; GB = 1e9 bytes. The paper prints "
        "two values a cell without saying of what.",
        "## Table 2: seconds per step",
        _seconds_table(result),
        "Medians of a run's steps. The ratios say how many times better ours is than PyTorch on "
        "the same machine in the same run; the paper's seconds are a phone's.",
        "## Cells",
        _cells_table(cells),
        "\n".join(f"- {line}" for line in _limits(cells)),
        "## Machine and versions",
        f"{machine_line(config['machine'])}. Threads on every side: {config['threads']}.",
        "## Again",
        f"    {shlex.join(result['command'])}",
        "A cell with a result is not run again, but `--cells=NAME,…` runs just those.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _conditions(config):
    models = config["models"]
    shown = ", ".join(
        f"{escaped(source)} on {MODELS[architecture].task.shown}"
        for architecture, source in models.items()
    )
    rates = ", ".join(f"{_named(name)} {lr:g}" for name, lr in config["lr"].items())
    lines = [
        f"{shown}: {config['steps']} steps of {config['tokens']} tokens a row, all parameters "
        "trained in fp32, dropout off.",
        f"Learning rates, constant: {rates}; MeZO's eps {config['eps']:g}; Adam: β 0.9 and 0.999, "
        "ε 1e-8, no weight decay.",
        f"Every cell ran in a process of its own under a hard limit of "
        f"{config['limit_bytes'] / 1e9:g} GB ({_limit_reason(config)}).",
        "Ours is `pocketllm train`. Its MeZO takes a batch in calls of 8 rows, Adam in one graph "
        "of the whole batch, as it must to keep its activations. PyTorch is transformers' model "
        "with MeZO as its authors wrote it or torch.optim.AdamW, on the same weights and batches "
        "in one forward pass, with the LM head on the scored row alone.",
    ]
    if config["scale"] != "large":
        lines.append(
            "The paper's models are RoBERTa-large and OPT-1.3B, those of --scale=large: at this "
            "scale the paper's figures stand beside ours for their pattern, not their size."
        )
    if config["random_init"]:
        random = ", ".join(models[name] for name in config["random_init"])
        lines.append(
            f"Seeded random weights: {random}. Memory and time do not depend on them, the loss "
            "curve does; --model=DIR takes a checkpoint."
        )
    return lines


def _limit_reason(config):
    phone = "the memory of the paper's phone, 12e9 bytes"
    return f"a {MICRO_SHARE}th of {phone}" if config["scale"] == "micro" else phone


def _observed(result):
    """Yields what the finished cells show, one sentence each.

    First cells that ran out of memory, then Adam against MeZO on the same side, then PyTorch
    against PocketLLM, then the agreement of Adam's losses.
    """
    cells, rows = result["cells"], result["rows"]
    mezo = {
        (row["architecture"], row["batch_size"]): row for row in rows if row["optimizer"] == MEZO
    }
    for row in rows:
        for side, shown in SIDES.items():
            cell = cells[row[side]]
            if cell and cell["outcome"] == OUT_OF_MEMORY:
                yield f"{_row_name(row)}, {shown}: {cell_line(cell)}."
    for row in rows:
        for side, shown in SIDES.items():
            cell, other = (
                cells[row[side]],
                cells[mezo[row["architecture"], row["batch_size"]][side]],
            )
            if row["optimizer"] == MEZO or not (_is_done(cell) and _is_done(other)):
                continue
            yield (
                f"{_row_name(row)}, {shown}: "
                f"{cell['peak_anon_bytes'] / other['peak_anon_bytes']:.2f} times the anonymous "
                f"memory of MeZO and {cell['step_seconds'] / other['step_seconds']:.2f} times its "
                "time per step."
            )
    for row in rows:
        ratio = row["ratio"]
        if ratio["step_seconds"]:
            yield (
                f"{_row_name(row)}: PyTorch takes {ratio['step_seconds']:.2f} times our time and "
                f"{ratio['peak_anon_bytes']:.2f} times our anonymous memory."
            )
    for losses in result["agreement"]:
        yield (
            f"Adam, batch {losses['batch_size']}: our losses and PyTorch's differ by "
            f"{losses['first_loss_difference']:.0e} (relative) at the first step, by no more than "
            f"{losses['largest_loss_difference']:.0e} at any."
        )


def _is_done(result):
    return result is not None and result["outcome"] == DONE


def _figure1(result):
    if not result["figures"]:
        return "No cell of it was run yet."
    image, *_ = result["figures"]
    files = ", ".join(f"[{name}]({name})" for name in result["figures"])
    return (
        f"![training loss in nats over the steps, MeZO and Adam]({image})\n\n"
        f"{files}: ours, losses of single steps, each on its own minibatch (MeZO: the mean of "
        "those on both sides of the parameters). All runs, PyTorch's too, with memory and time "
        f"over the steps: [{result['curves']}]({result['curves']})."
    )


def _memory_table(result):
    heads = ["ours: anonymous", "all pages", "PyTorch: anonymous", "all pages"]
    figures = ("peak_anon_bytes", "peak_rss_bytes")
    rows = [
        [
            *_paper_cells(row, "gigabytes"),
            *_figures(result, row, POCKETLLM, figures, lambda value: f"{value / 1e9:.3f}"),
            *_figures(result, row, PYTORCH, figures, lambda value: f"{value / 1e9:.3f}"),
            _ratio(row, "peak_anon_bytes"),
        ]
        for row in result["rows"]
    ]
    return table(["", "paper", *heads, "ratio, anonymous"], rows)


def _seconds_table(result):
    figures = ("step_seconds",)
    rows = [
        [
            *_paper_cells(row, "step_seconds"),
            *_figures(result, row, POCKETLLM, figures, "{:.3f}".format),
            *_figures(result, row, PYTORCH, figures, "{:.3f}".format),
            _ratio(row, "step_seconds"),
        ]
        for row in result["rows"]
    ]
    return table(["", "paper", "ours", "PyTorch", "ratio"], rows)


def _paper_cells(row, figure):
    """Returns the row's name and the paper's figure."""
    values = row["paper"][figure]
    text = OUT_OF_MEMORY if values is None else " / ".join(map(str, values))
    if row["paper_rounded"]:
        text = f"about {text}"
    if row["batch_size"] != row["paper_batch_size"]:
        text += f" (batch {row['paper_batch_size']})"
    return _row_name(row), text


def _figures(result, row, side, names, shown):
    """Returns the table's cells of one side: its figures `names`, each formatted by `shown`."""
    cell = result["cells"][row[side]]
    if cell is None:
        return [DASH] * len(names)
    if cell["outcome"] == OUT_OF_MEMORY:
        return [OUT_OF_MEMORY] * len(names)
    return [shown(cell[name]) for name in names]


def _ratio(row, name):
    return f"{row['ratio'][name]:.2f}" if row["ratio"][name] else DASH


def _cells_table(cells):
    heads = ["cell", "outcome", "steps", "limit, GB", "kind", "peak in the cgroup, GB"]
    rows = []
    for name, cell in cells.items():
        if cell is None:
            rows.append([name, "not run yet", *[DASH] * 6])
            continue
        peak = cell["limit_peak_bytes"]
        rows.append(
            [
                name,
                cell["outcome"] + (f" ({cell['ended']})" if cell["outcome"] != DONE else ""),
                str(cell["steps_taken"]),
                f"{cell['limit_bytes'] / 1e9:g}",
                cell["limit_kind"],
                f"{peak / 1e9:.3f}" if peak else DASH,
                "yes" if cell["caches_dropped"] else "no",
                f"{cell['seconds']:.0f}",
            ]
        )
    return table([*heads, "caches dropped before", "wall, s"], rows)


def _limits(cells):
    """Yields what each kind of limit that was used counts."""
    kinds = dict.fromkeys(cell["limit_kind"] for cell in cells.values() if cell)
    for kind in kinds:
        if kind.startswith("cgroup"):
            yield (
                f"{kind}: the memory of the process with all its file pages, swap limited too; "
                "out of memory means that the kernel killed it and counted that. File pages that "
                "another process had read before are not counted, unless caches were dropped."
            )
        else:
            yield (
                f"{kind} (no cgroup could be made): what the process allocated, touched or not, "
                "without file pages; out of memory means that an allocation failed and it said so, "
                "or that it ended without a word and got further with twice the memory."
            )


def _row_name(row):
    prefix = MODELS[row["architecture"]].row_prefix
    return f"{prefix}{OPTIMIZERS[row['optimizer']]}, batch {row['batch_size']}"


def _named(name):
    architecture, optimizer = name.split()
    return f"{MODELS[architecture].title} {OPTIMIZERS[optimizer]}"
