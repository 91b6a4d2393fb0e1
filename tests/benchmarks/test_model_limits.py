"""Full sizes of today's models: ten steps of LoRA inside a hard memory limit, as a user trains."""

import shutil
import sys

import pytest
from memory_cgroup import CGROUP

from pocketllm.benchmarks.bench.conditions import drop_file_pages
from pocketllm.benchmarks.bench.exporting import export_measured
from pocketllm.benchmarks.isolation.memory_limit import drop_caches, run_limited
from pocketllm.runtime import contract
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.tflite_models.presets import MICRO

pytestmark = [
    pytest.mark.desktop,
    pytest.mark.slow,
    pytest.mark.skipif(CGROUP is None, reason="no memory cgroup can be made here"),
]
LLAMA_EXPORT_BYTES = 3 * 10**9
# (preset, base) -> megabytes of a process that trains, pages of files included.
LIMITS = {
    ("smollm2-135m", "int8"): 200,
    ("qwen3-0.6b", "int8"): 400,
    ("gemma3-1b", "int8"): 640,
    ("llama3.2-1b", "int8"): 640,
    ("gemma3-1b", "int4"): 512,
    ("llama3.2-1b", "int4"): 512,
}


@pytest.mark.parametrize(("model", "base"), LIMITS)
def test_ten_steps_of_lora_run_inside_a_hard_limit(model, base, tmp_path):
    bundle, run, log = tmp_path / "bundle", tmp_path / "run", tmp_path / "log.txt"
    export = ["--random_init", "--tune=lora", f"--base={base}", "--lengths=64,128"]
    train = [f"--bundle={bundle}", f"--train={MICRO / 'sst2_train.tsv'}", f"--run={run}"]
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "train", *train]
    try:
        exported = export_measured([f"--model={model}", *export], bundle, print)
        assert not (bundle / contract.PACKED_FILE).exists()  # it is made inside the limit too
        drop_file_pages(bundle)
        assert drop_caches()
        flags = ["--steps=10", "--batch_size=8", "--lr=1e-4"]
        outcome = run_limited([*command, *flags], LIMITS[model, base] * 10**6, log)
    finally:
        shutil.rmtree(bundle, ignore_errors=True)

    print(f"export: {exported['seconds']:.0f} s, {exported['peak_rss_bytes'] / 1e9:.2f} GB")
    print(outcome, log.read_text())
    assert outcome.kind == CGROUP
    assert outcome.ended.returncode == 0 and not outcome.out_of_memory
    assert len(read_journal(run / JOURNAL).steps) == 10
    if model == "llama3.2-1b":
        assert exported["peak_rss_bytes"] < LLAMA_EXPORT_BYTES
