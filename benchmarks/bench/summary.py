"""From a worker's raw times to the figures that are compared."""

from statistics import median

# figure -> whether more of it is better
FIGURES = {
    "step_seconds": False,
    "forward_seconds": False,
    "noise_pass_seconds": False,
    "noise_pass_ns_per_parameter": False,
    "forward_gflops": True,
    "forward_share_of_sgemm": True,
    "peak_anon_bytes": False,
    "peak_rss_bytes": False,
}


def summarise(result: dict, forward_flops: int, parameters: int, sgemm_gflops: float) -> dict:
    """Returns FIGURES of a worker's result.

    Args:
      result: of ours.measure or pytorch_mezo.measure.
      forward_flops: of one forward pass over the whole batch.
      parameters: number of values a noise pass changes.
      sgemm_gflops: the machine's own rate.
    """
    steps = result["steps"]
    forward_seconds = median(s for step in steps for s in step["forward_seconds"])
    noise_seconds = median(s for step in steps for s in step["noise_seconds"])
    gflops = forward_flops / forward_seconds / 1e9
    return {
        "step_seconds": median(step["step_seconds"] for step in steps),
        "forward_seconds": forward_seconds,
        "noise_pass_seconds": noise_seconds,
        "noise_pass_ns_per_parameter": noise_seconds / parameters * 1e9,
        "forward_gflops": gflops,
        "forward_share_of_sgemm": gflops / sgemm_gflops,
        "peak_anon_bytes": result["peak_anon_bytes"],
        "peak_rss_bytes": result["peak_rss_bytes"],
    }


def ratios(ours: dict, theirs: dict) -> dict:
    """Returns how many times better ours is, figure by figure; 0 bytes mean "not measured"."""
    return {
        figure: _ratio(ours[figure], theirs[figure], more_is_better)
        for figure, more_is_better in FIGURES.items()
    }


def relative_difference(ours: float, theirs: float) -> float:
    """Returns |ours - theirs| / |theirs|."""
    return abs(ours - theirs) / abs(theirs)


def _ratio(ours, theirs, more_is_better):
    upper, lower = (ours, theirs) if more_is_better else (theirs, ours)
    return upper / lower if lower else None
