"""A bundle's pure forward passes take what the others take, and all that is trained."""

import shutil

import pytest
from bundle_json import rewrite

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError

DAMAGES = {
    "nothing is wrong": lambda pure: None,
    "a variable is missing": lambda pure: pure["inputs"].popitem(),
    "a variable has another shape": lambda pure: pure["inputs"].update(
        {list(pure["inputs"])[-1]: ["float32", [1, 2]]}
    ),
    "there are no logits": lambda pure: pure["outputs"].pop("logits"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_pure_form_that_does_not_fit_is_refused(damage, golden_bundle, tmp_path):
    folder = shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    variables = {v.name: ["float32", list(v.shape)] for v in golden_bundle.variables}

    def add(manifest):
        signatures = manifest["signatures"]
        for tokens in golden_bundle.lengths:
            forward = signatures[f"forward_loss_{tokens}"]
            pure = {"inputs": forward["inputs"] | variables, "outputs": dict(forward["outputs"])}
            DAMAGES[damage](pure)
            signatures[f"forward_pure_{tokens}"] = signatures["forward_pure"] = pure

    rewrite(folder, add)

    if damage == "nothing is wrong":
        assert read_bundle(folder).has_pure
        return
    with pytest.raises(InputError, match="forward_pure_.* does not take a batch and all"):
        read_bundle(folder)
