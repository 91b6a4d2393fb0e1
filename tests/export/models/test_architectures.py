"""The table of architectures: one file each, and nothing of one may be left out."""

import dataclasses
from pathlib import Path

import pytest

from pocketllm.export import models
from pocketllm.export.families.architecture import Architecture
from pocketllm.export.models import ARCHITECTURES, architecture_in
from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop

PARTS = [f.name for f in dataclasses.fields(Architecture) if f.default is dataclasses.MISSING]


@pytest.mark.parametrize("part", PARTS)
def test_an_architecture_without_one_of_its_parts_is_an_error_at_import(part):
    whole = ARCHITECTURES["opt"]
    parts = {name: getattr(whole, name) for name in PARTS if name != part}

    with pytest.raises(TypeError, match=f"missing 1 required positional argument: '{part}'"):
        Architecture(**parts)


def test_every_architecture_has_the_file_of_its_model_type():
    files = {path.stem for path in Path(models.__file__).parent.glob("*.py")}

    assert files - {"__init__"} == set(ARCHITECTURES)
    assert all(name == architecture.model_type for name, architecture in ARCHITECTURES.items())


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_an_architecture_is_that_of_its_class_in_transformers(architecture):
    import transformers

    config_class = getattr(transformers, architecture.hf_class).config_class

    assert config_class.model_type == architecture.model_type
    assert architecture.style in contract.STYLES


def test_another_architecture_is_refused_with_those_that_there_are():
    expected = f"mine: model_type is 'mamba', implemented are {', '.join(ARCHITECTURES)}; give a "
    expected += "checkpoint of one of these"
    with pytest.raises(InputError) as caught:
        architecture_in({"model_type": "mamba"}, "mine")

    assert str(caught.value) == expected
