"""The app developers' page calls what a bundle has: signatures, inputs and outputs."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.desktop
PAGE = Path(__file__).parents[2] / "docs" / "kotlin.md"
NAME = r'"(\w+)"'


@pytest.fixture(scope="module")
def bundle(make_bundle, make_checkpoint):
    """What the page says to export, tiny."""
    from pocketllm.export.tune.lora import Lora

    return make_bundle(make_checkpoint(), kind="lora", base="int8", lora=Lora())


@pytest.fixture(scope="module")
def calls():
    """{signature as it is spelled: (inputs, outputs)} of the page's calls."""
    code = re.search(r"```kotlin\n(.*?)```", PAGE.read_text(), re.S)[1]
    runs = re.findall(r'\brun\(\s*"([^"]+)",(.*?)listOf\(([^)]*)\)', code, re.S)
    return {
        signature: (set(re.findall(NAME + " to ", inputs)), set(re.findall(NAME, outputs)))
        for signature, inputs, outputs in runs
    }


def test_the_page_calls_what_a_step_needs(calls):
    passes = {"perturb_and_update", "perturb_and_decay"}
    assert set(calls) == {"initialize_$slice", "forward_loss_$tokens"} | passes


def test_every_signature_input_and_output_is_a_lora_bundles_own(calls, bundle):
    ends = {"$slice": range(bundle.slices), "$tokens": bundle.lengths}
    for spelled, (inputs, outputs) in calls.items():
        stem, _, variable = spelled.partition("$")
        for end in ends[f"${variable}"] if variable else [""]:
            signature = bundle.signatures[f"{stem}{end}"]
            assert inputs == set(signature["inputs"]), spelled
            assert outputs == set(signature["outputs"]), spelled
