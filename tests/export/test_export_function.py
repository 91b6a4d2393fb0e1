"""`pocketllm.export`: the names that other programs may use, and the function that exports."""

import inspect

import pytest
from small_runs import python

import pocketllm.export

NAMES = ["Exported", "Lora", "Tuning", "export"]
SETTINGS = [
    "batch_size", "lengths", "noise", "optimizers", "pairs", "pure", "option_tokens", "tuning",
    "random_init", "revision", "chat_template", "seed", "generate", "context", "force", "sizes",
    "say", "progress",
]  # fmt: skip


def test_the_public_names_are_these_and_each_is_documented():
    assert sorted(pocketllm.export.__all__) == NAMES and set(NAMES) <= set(dir(pocketllm.export))
    assert all(inspect.getdoc(getattr(pocketllm.export, name)) for name in ["Lora", "Tuning"])
    assert inspect.getdoc(pocketllm.export.export)
    with pytest.raises(AttributeError, match="has no attribute 'quantise'"):
        pocketllm.export.quantise  # noqa: B018


def test_the_function_takes_a_model_a_task_a_folder_and_named_settings():
    parameters = inspect.signature(pocketllm.export.export).parameters
    keywords = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]

    assert list(parameters)[:3] == ["model", "task", "out"] and keywords == SETTINGS


def test_the_package_the_table_and_the_function_load_no_tensorflow():
    done = python(
        "import sys, pocketllm.export\n"
        "from pocketllm.export import Lora, Tuning, export\n"
        "from pocketllm.export.models import ARCHITECTURES\n"
        "print(sorted({'tensorflow', 'torch', 'transformers'} & set(sys.modules)))"
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_optimizers_of_a_bundle_are_those_of_the_table_with_mezo_always_there():
    from pocketllm.export.settings import signatures_of
    from pocketllm.runtime.errors import InputError

    assert signatures_of(["mezo"]) == ("mezo",)
    assert signatures_of(["adam"]) == signatures_of(["adam", "mezo"]) == ("mezo", "adam")
    assert signatures_of(["mezo", "fzoo"]) == signatures_of([]) == ("mezo",)
    assert signatures_of(["mezo", "fzoo", "adam"]) == signatures_of(["sgd"]) == ("mezo", "adam")
    with pytest.raises(InputError, match="--optimizers=mezo,lion: expected some of mezo, fzoo"):
        signatures_of(["mezo", "lion"])


@pytest.mark.desktop
def test_a_model_is_exported_in_one_call(make_checkpoint, tmp_path):
    from pocketllm.export import Tuning, export
    from pocketllm.runtime import read_bundle

    lines, sizes = [], []
    exported = export(
        make_checkpoint(),
        "sst2",
        tmp_path / "bundle",
        tuning=Tuning("lora", "int8"),
        lengths=[16, 8],
        say=lines.append,
        progress=lambda size, total: sizes.append((size, total)),
    )
    bundle = read_bundle(exported.bundle)

    assert (bundle.tune, bundle.base, bundle.lengths) == ("lora", "int8", (8, 16))
    assert exported.model_bytes == bundle.model_path.stat().st_size
    assert 0 < exported.trained_parameters < exported.parameters and exported.tied_decoder
    assert lines[0] == "converting forward_loss_8" and lines[-1].startswith("writing 0.00 GB")
    assert sum(size for size, _ in sizes) == sizes[0][1] and len({total for _, total in sizes}) == 1
