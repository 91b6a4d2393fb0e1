"""The bench's tables as text."""

from pocketllm.runtime import contract

from .baselines import NAMES, measured_baselines
from .summary import relative_difference

# figure -> (label, factor, decimals)
ROWS = {
    "step_seconds": ("step, s", 1, 3),
    "direction_seconds": ("a direction, s", 1, 3),
    "forward_seconds": ("forward, s", 1, 3),
    "noise_pass_seconds": ("noise pass, s", 1, 3),
    "noise_pass_ns_per_parameter": ("noise pass, ns/parameter", 1, 2),
    "forward_gflops": ("forward, GFLOP/s", 1, 1),
    "forward_share_of_sgemm": ("forward, % of sgemm", 100, 1),
    "peak_anon_bytes": ("peak anonymous, GB", 1e-9, 3),
    "peak_rss_bytes": ("peak all pages, GB", 1e-9, 3),
}
# key of a batch -> (heading of its column, explanation)
CONDITIONS = {
    "packing": ("packing", "makes the file of packed weights that the others find"),
    "unpacked": ("no file", "packed weights in memory (--nopacked_weights)"),
}
# key of a batch -> (heading of what is measured beside ours, that of the quotient, explanation)
BESIDE = {
    "mezo": (
        "MeZO",
        "ours/MeZO",
        "MeZO: our MeZO steps of the same bundle; ours/MeZO: 2 is twice as much",
    ),
    "apart": (
        "two forwards",
        "ours/two",
        "two forwards: our steps without pairs, of the same bundle; ours/two: 2 is twice as much; "
        "a pair counts as two forward passes",
    ),
}


def headline(result: dict) -> str:
    """Returns the line that names the model, the settings and the machine."""
    versions = result["machine"]["versions"]
    names = ("ai-edge-litert", "tflite-runtime", "torch")
    engines = ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
    trained = f"{result['parameters'] / 1e6:.1f} M parameters"
    if result["tune"] != contract.FULL:
        trained = f"{result['parameters'] / 1e6:.3f} M parameters of {result['tune']} on"
        trained += f" {result['base']}, eps {result['eps']:g}"
    return (
        f"{result['model']}, {trained}, steps of {result['optimizer']} on {result['task']}, "
        f"{result['seq_len']} tokens, engine {result['engine']}, "
        f"threads {result['threads']}, on "
        f"{result['machine']['cpu']} ({engines}); sgemm {result['sgemm']['gflops']:.1f} GFLOP/s"
    )


def batch_table(batch: dict) -> str:
    """Returns the table of one batch size; `batch` is an entry of the result's `batches`."""
    ours, compared, notes = batch["ours"], [], []
    for key, (head, short, note) in BESIDE.items():
        if batch.get(key):
            difference = relative_difference(ours["first_loss"], batch[key]["first_loss"])
            compared.append((head, short, batch[key], batch[f"times_{key}"], difference))
            notes.append(note)
    for suffix in measured_baselines(batch):
        baseline, ratio = batch[f"pytorch{suffix}"], batch[f"ratio{suffix}"]
        name, head = NAMES[suffix]
        compared.append((head, "ratio", baseline, ratio, batch[f"first_loss_difference{suffix}"]))
        notes += [f"{head}: {name}"] if name != head else []
    heads = [head for column in compared for head in column[:2]]
    lines = [_line(f"batch {batch['batch_size']}", ["ours", *heads])]
    is_direction = ours["summary"].get("direction_seconds") == ours["summary"]["step_seconds"]
    for figure, (label, factor, decimals) in ROWS.items():
        if figure not in ours["summary"] or (figure == "direction_seconds" and is_direction):
            continue
        cells = [f"{ours['summary'][figure] * factor:.{decimals}f}"]
        for _, _, side, ratio, _ in compared:
            cells.append(f"{side['summary'][figure] * factor:.{decimals}f}")
            cells.append(f"{ratio[figure]:.2f}" if ratio.get(figure) else "-")
        lines.append(_line(f"  {label}", cells))
    cells = [f"{ours['first_loss']:.6f}"]
    for _, _, side, _, difference in compared:
        cells += [f"{side['first_loss']:.6f}", f"{difference:.0e} apart"]
    lines.append(_line("  loss before the first step", cells))
    return "\n".join([*lines, *(f"  {note}" for note in notes)])


def conditions_table(batch: dict) -> str:
    """Returns the table of our side under other conditions; "" if none was measured."""
    limited, sides, notes = batch["limited"], {}, []
    for key, (head, explanation) in CONDITIONS.items():
        if batch[key]:
            sides[head] = batch[key], f"  {head}: {explanation}"
    if limited:
        head = f"in {limited['limit_bytes'] / 1e6:g} MB"
        sides[head] = limited, f"  {head}: {_limit(limited)}"
    if apart := batch.get("limited_apart"):
        sides["two, limited"] = apart, f"  two, limited: two forwards; it {_limit(apart)}"
        notes += _against_apart(limited, apart)
    if not sides:
        return ""
    ours = batch["ours"]["summary"]
    lines = [_line(f"batch {batch['batch_size']}, ours", ["above", *sides])]
    for figure in ("step_seconds", "forward_seconds", "peak_anon_bytes", "peak_rss_bytes"):
        if figure not in ours:
            continue
        label, factor, decimals = ROWS[figure]
        summaries = [ours, *(side.get("summary") for side, _ in sides.values())]
        cells = [
            f"{summary[figure] * factor:.{decimals}f}" if summary else "-" for summary in summaries
        ]
        lines.append(_line(f"  {label}", cells))
        if figure == "step_seconds":
            times = [
                f"{summary[figure] / ours[figure]:.2f}" if summary else "-" for summary in summaries
            ]
            lines.append(_line("  step, times as above", times))
    return "\n".join([*lines, *(explanation for _, explanation in sides.values()), *notes])


def _against_apart(limited, apart):
    """Returns the line that says what a step with pairs takes of one with two forwards, limited."""
    if not (limited.get("summary") and apart.get("summary")):
        return []
    quotient = limited["summary"]["step_seconds"] / apart["summary"]["step_seconds"]
    return [f"  under the limit a step with pairs takes {quotient:.2f} of one with two forwards"]


def losses_table(batch: dict) -> str:
    """Returns the losses of each timed step, MeZO's at +eps and -eps; one line a side."""
    lines = []
    sides = {NAMES[suffix][1]: batch[f"pytorch{suffix}"] for suffix in measured_baselines(batch)}
    for name, side in ({"ours": batch["ours"]} | sides).items():
        if "loss" in side["steps"][0]:
            losses = ", ".join(f"{step['loss']:.5f}" for step in side["steps"])
            lines.append(f"  losses before the steps, {name}: {losses}")
            continue
        if "losses" in side["steps"][0]:
            steps = [", ".join(f"{loss:.5f}" for loss in step["losses"]) for step in side["steps"]]
            lines.append(f"  losses of each step's directions, {name}: {'; '.join(steps)}")
            continue
        pairs = [f"{step['loss_plus']:.5f} / {step['loss_minus']:.5f}" for step in side["steps"]]
        lines.append(f"  losses at +eps / -eps, {name}: {', '.join(pairs)}")
    return "\n".join(lines)


def _limit(limited):
    """Returns in words how a limited measurement ended, and what its limit counts."""
    ended = "ended out of memory" if limited["out_of_memory"] else "ran to the end"
    dropped = "all" if limited["caches_dropped"] else "the bundle's files'"
    limit = f"{limited['limit_kind']} of {limited['limit_bytes']:,} bytes"
    if limited["limit_peak_bytes"] is None:
        return (
            f"{ended} under {limit}: no memory cgroup can be made here, and this counts what is "
            "allocated, no pages of files; it is no limit on all memory"
        )
    peak = f"{limited['limit_peak_bytes'] / 1e9:.3f} GB"
    return f"{ended} in a {limit}, {peak} of it used, file pages too; {dropped} caches dropped"


def _line(label, cells):
    return f"{label:<28}" + "".join(f"{cell:>14}" for cell in cells)
