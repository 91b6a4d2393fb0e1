"""The app developers' page calls what a bundle has: signatures, inputs and outputs."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.desktop
PAGE = Path(__file__).parents[2] / "docs" / "kotlin.md"
NAME = r'"(\w+)"'


LISTING, GENERATING = 0, 1  # the page's blocks of Kotlin


@pytest.fixture(scope="module")
def bundles(make_bundle, make_checkpoint, make_decoder):
    """What the page says to export, tiny: of a task with labels, and one that generates."""
    from pocketllm.export.tune.lora import Lora

    tuned = {"kind": "lora", "base": "int8", "lora": Lora()}
    generating = make_bundle(
        make_decoder(case="llama"), task="sft", lengths=(8, 16), context=64, **tuned
    )
    return {LISTING: make_bundle(make_checkpoint(), **tuned), GENERATING: generating}


def calls(block):
    """Returns {signature as it is spelled: (inputs, outputs)} of a block's calls."""
    code = re.findall(r"```kotlin\n(.*?)```", PAGE.read_text(), re.S)[block]
    runs = re.findall(r'\brun\(\s*"([^"]+)",(.*?)listOf\(([^)]*)\)', code, re.S)
    return {
        signature: (set(re.findall(NAME + " to ", inputs)), set(re.findall(NAME, outputs)))
        for signature, inputs, outputs in runs
    }


def test_the_page_calls_what_a_step_and_a_text_need():
    passes = {"perturb_and_update", "perturb_and_decay"}
    assert set(calls(LISTING)) == {"initialize_$slice", "forward_loss_$tokens"} | passes
    assert set(calls(GENERATING)) == {"cache_initialize", "prefill_$bucket", "decode"}


@pytest.mark.parametrize("block", [LISTING, GENERATING])
def test_every_signature_input_and_output_is_a_lora_bundles_own(block, bundles):
    bundle = bundles[block]
    ends = {"$slice": range(bundle.slices), "$tokens": bundle.lengths, "$bucket": bundle.prefills}
    for spelled, (inputs, outputs) in calls(block).items():
        stem, _, variable = spelled.partition("$")
        for end in ends[f"${variable}"] if variable else [""]:
            signature = bundle.signatures[f"{stem}{end}"]
            assert inputs == set(signature["inputs"]), spelled
            assert outputs == set(signature["outputs"]), spelled
