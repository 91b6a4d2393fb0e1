"""`pocketllm.runtime`: the names that programs build on, and what importing them costs."""

import inspect
from dataclasses import fields

import pytest
from small_runs import python

import pocketllm.runtime as runtime
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.run.folder import StoredRun

# A change here breaks programs of other people: CHANGELOG.md says so then.
SIGNATURES = {
    "Applied": "(step, losses, lr, eps, passes, decay)",
    "MezoSettings": "(lr, eps, weight_decay, lr_schedule, steps, normalize)",
    "Recorder": "(model)",
    "RunConfig": "(bundle_checksum, train_sha256, batch_size, seed, settings, split, noise)",
    "apply_step": "(model, applied)",
    "batches_of": "(dataset, bundle, members)",
    "evaluate": "(model, data, progress)",
    "load_dataset": "(path, bundle, training, sample)",
    "mezo_step": "(model, loss, step, seed, settings, *, normaliser, pair)",
    "open_model": "(bundle, *, engine, threads, packed_in_file, calls, say)",
    "read_bundle": "(folder, verify)",
    "read_run": "(folder, bundle)",
    "replay": "(model, steps, progress, take)",
    "step_members": "(count, batch_size, seed, step)",
    "step_seed": "(seed, step)",
    "train": (
        "(model, data, folder, config, dev, *, samples, eval_every, listener, recovery_seconds, "
        "strict, pairs)"
    ),
}


def parameters_of(function) -> str:
    """Returns a signature without annotations and defaults."""
    kept = [
        parameter.replace(annotation=parameter.empty, default=parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(kept))


def test_the_public_names_and_their_parameters_are_these():
    public = {name: parameters_of(getattr(runtime, name)) for name in runtime.__all__}

    assert public == SIGNATURES


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_public_name_is_documented(name):
    documentation = getattr(runtime, name).__doc__

    assert f" {name}" in runtime.__doc__
    assert "Args:" in documentation or "Attributes:" in documentation or "Raises:" in documentation


def test_importing_the_package_imports_nothing_else():
    done = python(
        "import sys\n"
        "import pocketllm.runtime as runtime\n"
        f"assert set({list(SIGNATURES)!r}) <= set(dir(runtime))\n"
        "loaded = [n for n in sys.modules if n.startswith('pocketllm.runtime.') or n == 'numpy']\n"
        "print(loaded)"
    )

    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_public_name_can_be_imported_alone_and_another_is_an_attribute_error():
    done = python(
        "from pocketllm.runtime import step_seed\n"
        "import pocketllm.runtime as runtime\n"
        "assert runtime.step_seed is step_seed and 'step_seed' in vars(runtime)\n"
        "from pocketllm.runtime import *\n"
        "assert open_model is runtime.open_model\n"
    )

    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'opne_model'"):
        runtime.__getattr__("opne_model")


def test_a_bundle_a_data_set_and_a_run_have_what_a_program_needs_of_them():
    """The attributes that docs/guide/python.md and the examples use."""
    attributes = {
        Bundle: {"folder", "task", "noise", "default_eps", "batch_size", "lengths"},
        Dataset: {"examples", "sha256"},
        StoredRun: {"applied", "count"},
    }
    for kind, names in attributes.items():
        assert names <= {field.name for field in fields(kind)}, kind
