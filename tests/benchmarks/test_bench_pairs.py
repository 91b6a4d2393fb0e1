"""The bench of steps with pairs: beside steps with two forward passes, in a limit too."""

import json

import numpy as np
import pytest
from small_runs import complaint, pocketllm

SECONDS = 600  # for a command, on a busy machine


@pytest.mark.desktop
def test_pairs_are_measured_beside_two_forward_passes_also_in_a_limit(
    make_checkpoint, make_bundle, tmp_path
):
    out = tmp_path / "bench.json"
    bundle = make_bundle(make_checkpoint(), kind="lora", base="int8", pairs=True)

    done = pocketllm(
        "bench", f"--bundle={bundle.folder}", "--pairs", "--batch_sizes=5", "--seq_len=12",
        "--steps=2", "--threads=1", "--memory_limit=1G", f"--json={out}", timeout=SECONDS,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    (batch,) = result["batches"]
    ours, apart = batch["ours"], batch["apart"]
    assert result["pairs"] and ours["micro_batches"] == 2
    for side, passes in ((ours, 1), (batch["limited"], 1), (apart, 3), (batch["limited_apart"], 3)):
        assert [len(step["noise_seconds"]) for step in side["steps"]] == [passes, passes]
        assert {len(step["forward_seconds"]) for step in side["steps"]} == {2}
        assert side["first_loss"] == ours["first_loss"]
        for step, expected in zip(side["steps"], ours["steps"]):
            losses = [[s["loss_plus"], s["loss_minus"]] for s in (step, expected)]
            np.testing.assert_allclose(*losses, rtol=1e-3)  # integers take a step of theirs
            assert losses[0][0] != losses[0][1]
    assert batch["times_apart"]["step_seconds"] == (
        ours["summary"]["step_seconds"] / apart["summary"]["step_seconds"]
    )
    assert "two forwards: our steps without pairs, of the same bundle" in done.stdout
    assert "two, limited: two forwards; it ran to the end" in done.stdout
    assert "under the limit a step with pairs takes" in done.stdout


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--model=roberta-micro"], "--pairs goes with --tune=lora, prefix or head"),
        (
            ["--model=roberta-micro", "--tune=lora", "--optimizer=adam"],
            "--pairs measures MeZO's steps, not those of --optimizer=adam",
        ),
        (None, "no signature forward_pair; export it with --pairs"),
    ],
)
def test_what_has_no_pairs_is_refused_in_one_line(flags, problem, golden_bundle):
    flags = flags or [f"--bundle={golden_bundle.folder}", "--seq_len=8"]

    complaint(pocketllm("bench", "--pairs", *flags, timeout=SECONDS), 2, problem)
