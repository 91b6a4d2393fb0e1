"""`pocketllm replay` on a LoRA run: PEFT loads what it writes and computes the same logits."""

import json
from dataclasses import replace

import decoder_cases
import numpy as np
import pytest
from forward import forward_inputs, model_forward, relative_error
from opt_forward import opt_inputs, score_arrays
from small_runs import complaint, pocketllm, rows, run_config, write_tsv
from tuned import lora_bundle

from pocketllm.runtime.contract import LOGITS, forward_loss_for
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.journal.lines import Evaluated, append_evaluation
from pocketllm.runtime.run.loop import train

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
# (architecture, tied, extras, base): relative error of the logits; integers are measured at 0.02
CASES = {
    "roberta": ("roberta", True, "none", "fp32", TOLERANCE),
    "roberta_head": ("roberta", False, "lm_head", "fp32", TOLERANCE),
    "roberta_int8": ("roberta", False, "none", "int8", 0.05),
    "opt": ("opt", True, "none", "fp32", TOLERANCE),
}


@pytest.mark.parametrize("case", CASES)
def test_peft_loads_the_adapter_and_gives_the_same_logits(
    case, make_checkpoint, make_opt_checkpoint, make_bundle, open_ready, tmp_path
):
    import torch
    from peft import AutoPeftModel, AutoPeftModelForCausalLM, PeftModel
    from transformers import OPTForCausalLM, RobertaForMaskedLM

    architecture, tied, extras, base, tolerance = CASES[case]
    checkpoint = {"roberta": make_checkpoint, "opt": make_opt_checkpoint}[architecture](tied=tied)
    settings = {"rank": 4, "extras": extras}
    bundle = lora_bundle(make_bundle, checkpoint, settings, lengths=(16,), base=base)
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    model = open_ready(bundle, "litert")
    train(model, data, tmp_path / "run", run_config(bundle, data, steps=12, lr=0.05, eps=0.05))
    flags = [f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'out'}"]
    dev = Evaluated(12, 0.625, 0.5, 8, "d" * 64)
    append_evaluation(tmp_path / "run", dev)
    done = pocketllm("replay", *flags, f"--base_model={checkpoint}")
    assert (done.returncode, done.stderr) == (0, "") and "at step 12" in done.stdout
    origin = json.loads((tmp_path / "out" / "pocketllm.json").read_text())
    assert (origin["base_storage"], origin["step"], origin["dev"]["accuracy"]) == (base, 12, 0.625)

    kind = {"roberta": RobertaForMaskedLM, "opt": OPTForCausalLM}[architecture]
    plain = kind.from_pretrained(checkpoint, attn_implementation="eager", dtype=torch.float32)

    def run(theirs):
        theirs = theirs.double().eval()
        if architecture == "roberta":
            inputs = forward_inputs(16, bundle.config["vocab_size"], seed=2)
            return inputs, model_forward(theirs, inputs, bundle.word_ids)[1]
        inputs = opt_inputs(bundle, 16, seed=3)
        return inputs, score_arrays(theirs, bundle, inputs)[1]

    inputs, before = run(plain)
    _, logits = run(PeftModel.from_pretrained(plain, tmp_path / "out"))
    actual = model.engine.run(forward_loss_for(16), **inputs)[LOGITS][:2]

    assert relative_error(actual, logits) <= tolerance
    assert relative_error(before, logits) > max(0.01, 2 * tolerance), "the adapter counts"
    auto = {"roberta": AutoPeftModel, "opt": AutoPeftModelForCausalLM}[architecture]
    alone = auto.from_pretrained(
        tmp_path / "out", attn_implementation="eager", dtype=torch.float32
    )  # the base is the one that the adapter names
    assert np.array_equal(run(alone)[1], logits)


def test_an_earlier_step_is_another_adapter_and_bad_requests_are_refused(
    make_checkpoint, make_bundle, open_ready, tmp_path
):
    from safetensors.numpy import load_file

    bundle = lora_bundle(make_bundle, make_checkpoint(), {"rank": 4}, lengths=(16,))
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    config = run_config(bundle, data, steps=6)
    train(open_ready(bundle, "litert"), data, tmp_path / "run", config)
    flags = [f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'out'}"]

    tensors = {}
    for step in (0, 6):
        summary = tmp_path / "summary.json"
        done = pocketllm("replay", *flags, f"--at_step={step}", f"--json={summary}", "--force")
        assert done.returncode == 0 and json.loads(summary.read_text())["step"] == step
        tensors[step] = load_file(tmp_path / "out" / "adapter_model.safetensors")
    b = next(name for name in tensors[0] if "lora_B" in name)
    assert not tensors[0][b].any() and tensors[6][b].any()

    complaint(pocketllm("replay", *flags), 2, "exists already")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == bundle.model_name
    (tmp_path / "out" / "pocketllm.json").rename(tmp_path / "aside")
    complaint(pocketllm("replay", *flags, "--force"), 2, "`replay` did not write it")
    assert (tmp_path / "out" / "adapter_config.json").exists()
    (tmp_path / "aside").rename(tmp_path / "out" / "pocketllm.json")
    complaint(pocketllm("replay", *flags, "--force", "--at_step=7"), 2, "steps 0 to 6")
    tied = lora_bundle(make_bundle, make_checkpoint(), {"extras": "lm_head"}, lengths=(16,))
    flags[0] = f"--bundle={tied.folder}"
    complaint(pocketllm("replay", *flags, "--force"), 2, "--lora_extras=lm_head", "decoder is")
    flags[0] = f"--bundle={bundle.folder}"
    done = pocketllm("replay", *flags, "--force", "--dtype=fp16")
    complaint(done, 2, "--dtype=fp16 is of checkpoints")


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [("roberta", "PEFT has no prefix for a masked"), ("opt", "count the text alone")],
)
def test_a_prefix_that_peft_would_read_otherwise_is_refused_before_the_steps(
    architecture, reason, make_checkpoint, make_opt_checkpoint, make_bundle, open_ready, tmp_path
):
    checkpoint = {"roberta": make_checkpoint, "opt": make_opt_checkpoint}[architecture]()
    bundle = make_bundle(checkpoint, kind="prefix", lengths=(16,))
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    config = run_config(bundle, data, steps=2)
    train(open_ready(bundle, "litert"), data, tmp_path / "run", config)
    flags = [f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}"]

    done = pocketllm("replay", *flags, f"--out={tmp_path / 'out'}")

    complaint(done, 2, f"--tune=prefix of {architecture}: ", reason, "`pocketllm eval --run`")
    assert not (tmp_path / "out").exists()
    assert pocketllm("replay", *flags, "--undo").returncode == 0


def test_a_prefix_is_written_for_architectures_whose_positions_start_behind_it(golden_bundle):
    from pocketllm.export.models import ARCHITECTURES
    from pocketllm.export.results.adapter import check_adapter
    from pocketllm.runtime.errors import InputError

    parameters = tuple(replace(golden_bundle.parameters[0], shape=(4, 16)) for _ in range(4))
    config = {"num_hidden_layers": 2, "num_key_value_heads": 2}
    refused = set()
    for name, architecture in ARCHITECTURES.items():
        kind = {"architecture": name, "style": architecture.style, "tune": "prefix"}
        try:
            check_adapter(replace(golden_bundle, parameters=parameters, config=config, **kind))
        except InputError:
            refused.add(name)

    decoders = {values["model_type"] for values in decoder_cases.CASES.values()}
    assert refused == set(ARCHITECTURES) - decoders
