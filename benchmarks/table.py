"""The bench's tables for people."""

from .sides import NAMES, measured

# figure -> (what it is called, factor, decimals)
ROWS = {
    "step_seconds": ("step, s", 1, 3),
    "forward_seconds": ("forward, s", 1, 3),
    "noise_pass_seconds": ("noise pass, s", 1, 3),
    "noise_pass_ns_per_parameter": ("noise pass, ns/parameter", 1, 2),
    "forward_gflops": ("forward, GFLOP/s", 1, 1),
    "forward_share_of_sgemm": ("forward, % of sgemm", 100, 1),
    "peak_anon_bytes": ("peak anonymous, GB", 1e-9, 3),
    "peak_rss_bytes": ("peak all pages, GB", 1e-9, 3),
}


def batch_table(batch: dict) -> str:
    """Returns the table of one batch size; `batch` is an entry of the result's `batches`."""
    ours, suffixes = batch["ours"], measured(batch)
    keys = ("pytorch", "ratio", "first_loss_difference")
    compared = [[batch[f"{key}{suffix}"] for key in keys] for suffix in suffixes]
    heads = [head for suffix in suffixes for head in (NAMES[suffix][1], "ratio")]
    lines = [_line(f"batch {batch['batch_size']}", ["ours", *heads])]
    for figure, (label, factor, decimals) in ROWS.items():
        cells = [f"{ours['summary'][figure] * factor:.{decimals}f}"]
        for theirs, ratio, _ in compared:
            cells.append(f"{theirs['summary'][figure] * factor:.{decimals}f}")
            cells.append(f"{ratio[figure]:.2f}" if ratio[figure] else "-")
        lines.append(_line(f"  {label}", cells))
    cells = [f"{ours['first_loss']:.6f}"]
    for theirs, _, difference in compared:
        cells += [f"{theirs['first_loss']:.6f}", f"{difference:.0e} apart"]
    lines.append(_line("  loss before the first step", cells))
    lines += [f"  {head}: {name}" for name, head in map(NAMES.get, suffixes) if name != head]
    return "\n".join(lines)


def losses_table(batch: dict) -> str:
    """Returns each timed step's losses at +eps and -eps."""
    lines = []
    sides = {NAMES[suffix][1]: batch[f"pytorch{suffix}"] for suffix in measured(batch)}
    for name, side in ({"ours": batch["ours"]} | sides).items():
        pairs = [f"{s['loss_plus']:.5f} / {s['loss_minus']:.5f}" for s in side["steps"]]
        lines.append(f"  losses at +eps / -eps, {name}: {', '.join(pairs)}")
    return "\n".join(lines)


def _line(label, cells):
    return f"{label:<28}" + "".join(f"{cell:>14}" for cell in cells)
