"""Turns a worker's times into figures, and compares figures."""

from statistics import median

# figure -> whether a larger value is better; a step with gradients has no forward, no noise pass
FIGURES = {
    "step_seconds": False,
    "direction_seconds": False,
    "forward_seconds": False,
    "noise_pass_seconds": False,
    "noise_pass_ns_per_parameter": False,
    "forward_gflops": True,
    "forward_share_of_sgemm": True,
    "peak_anon_bytes": False,
    "peak_rss_bytes": False,
}


def summarise(result: dict, forward_flops: int, parameters: int, sgemm_gflops: float) -> dict:
    """Returns {figure: value} of a worker's result, for those of FIGURES that its steps have.

    Args:
      result: result of a worker, litert or pytorch.
      forward_flops: operations of one forward pass over the whole batch.
      parameters: number of values that a noise pass changes.
      sgemm_gflops: the machine's rate of matrix products, in GFLOP/s.
    """
    steps = result["steps"]
    summary = {
        "step_seconds": median(step["step_seconds"] for step in steps),
        "peak_anon_bytes": result["peak_anon_bytes"],
        "peak_rss_bytes": result["peak_rss_bytes"],
    }
    if "forward_seconds" not in steps[0]:
        return summary
    forward_seconds = median(seconds for step in steps for seconds in step["forward_seconds"])
    noise_seconds = median(seconds for step in steps for seconds in step["noise_seconds"])
    gflops = forward_flops / forward_seconds / 1e9
    return summary | {
        "direction_seconds": summary["step_seconds"] / steps[0].get("directions", 1),
        "forward_seconds": forward_seconds,
        "noise_pass_seconds": noise_seconds,
        "noise_pass_ns_per_parameter": noise_seconds / parameters * 1e9,
        "forward_gflops": gflops,
        "forward_share_of_sgemm": gflops / sgemm_gflops,
    }


def ratios(ours: dict, baseline: dict) -> dict:
    """Returns {figure: how many times better ours is}; None if a value is 0 (not measured)."""
    return {
        figure: _ratio(ours[figure], baseline[figure], larger_is_better)
        for figure, larger_is_better in FIGURES.items()
        if figure in ours and figure in baseline
    }


def times(ours: dict, other: dict) -> dict:
    """Returns {figure: ours over the other's}, of the figures of both; the other's is not 0."""
    return {figure: ours[figure] / other[figure] for figure in ours if other.get(figure)}


def relative_difference(value: float, reference: float) -> float:
    """Returns |value - reference| / |reference|."""
    return abs(value - reference) / abs(reference)


def _ratio(ours, baseline, larger_is_better):
    upper, lower = (ours, baseline) if larger_is_better else (baseline, ours)
    return upper / lower if lower else None
