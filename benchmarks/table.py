"""The bench's tables for people."""

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
    ours, theirs, ratio = batch["ours"], batch["pytorch"], batch["ratio"]
    heads = ["ours", "PyTorch", "ratio"] if theirs else ["ours"]
    lines = [_line(f"batch {batch['batch_size']}", heads)]
    for figure, (label, factor, decimals) in ROWS.items():
        cells = [
            f"{side['summary'][figure] * factor:.{decimals}f}" for side in (ours, theirs) if side
        ]
        if theirs:
            cells.append(f"{ratio[figure]:.2f}" if ratio[figure] else "-")
        lines.append(_line(f"  {label}", cells))
    cells = [f"{side['first_loss']:.6f}" for side in (ours, theirs) if side]
    if theirs:
        cells.append(f"{batch['first_loss_difference']:.0e} apart")
    return "\n".join([*lines, _line("  loss before the first step", cells)])


def losses_table(batch: dict) -> str:
    """Returns each timed step's losses at +eps and -eps."""
    lines = []
    for name, side in (("ours", batch["ours"]), ("PyTorch", batch["pytorch"])):
        if side:
            pairs = [f"{s['loss_plus']:.5f} / {s['loss_minus']:.5f}" for s in side["steps"]]
            lines.append(f"  losses at +eps / -eps, {name}: {', '.join(pairs)}")
    return "\n".join(lines)


def _line(label, cells):
    return f"{label:<28}" + "".join(f"{cell:>14}" for cell in cells)
