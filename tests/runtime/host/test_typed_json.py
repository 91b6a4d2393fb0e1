"""JSON values become what annotations name, or the error says which one does not."""

import json
from dataclasses import dataclass, field

import pytest

from pocketllm.runtime.host.typed_json import MistypedError, typed


@dataclass(frozen=True)
class Leaf:
    """A flat record."""

    name: str
    size: float
    whole: bool = False


@dataclass(frozen=True)
class Tree:
    """One of everything."""

    leaves: tuple[Leaf, ...]
    pair: tuple[int, int] | None
    words: dict[str, int]
    notes: dict = field(default_factory=dict)


LEAF = {"name": "a", "size": 1, "whole": True}
TREE = {"leaves": [LEAF], "pair": [1, 2], "words": {"a": 1}, "notes": {"any": [None]}}


def test_a_record_of_records_is_built_from_what_json_writes():
    expected = Tree((Leaf("a", 1, True),), (1, 2), {"a": 1}, {"any": [None]})

    assert typed(Tree, json.loads(json.dumps(TREE))) == expected
    assert typed(Tree, TREE | {"pair": None}).pair is None


def test_a_number_keeps_how_it_was_written():
    assert type(typed(float, 1)) is int and type(typed(float, 1.0)) is float


@pytest.mark.parametrize(
    "value, message",
    [
        ([], "tree is [], expected object"),
        (TREE | {"leaves": {}}, "tree.leaves is {}, expected list"),
        (TREE | {"leaves": [LEAF | {"name": 7}]}, "tree.leaves[0].name is 7, expected str"),
        (TREE | {"leaves": [LEAF | {"size": "1"}]}, "leaves[0].size is '1', expected float"),
        (TREE | {"leaves": [LEAF | {"size": True}]}, "leaves[0].size is True, expected float"),
        (TREE | {"leaves": [LEAF | {"whole": 1}]}, "leaves[0].whole is 1, expected bool"),
        (TREE | {"leaves": [LEAF | {"more": 1}]}, "leaves[0] is {'name': 'a'"),
        (TREE | {"leaves": [{"name": "a", "size": 1}]}, "leaves[0] is {'name': 'a'"),
        (TREE | {"pair": [1]}, "tree.pair is [1], expected list"),
        (TREE | {"pair": [1, 2, 3]}, "tree.pair is [1, 2, 3], expected list"),
        (TREE | {"pair": [1, True]}, "tree.pair[1] is True, expected int"),
        (TREE | {"words": {"a": None}}, "tree.words['a'] is None, expected int"),
        (TREE | {"notes": 1}, "tree.notes is 1, expected dict"),
    ],
)
def test_a_value_of_another_type_is_named_by_its_place(value, message):
    with pytest.raises(MistypedError) as info:
        typed(Tree, value, "tree")
    assert message in str(info.value)


def test_a_whole_number_beyond_any_float_is_refused():
    with pytest.raises(ValueError, match="size is larger than any float"):
        typed(Leaf, LEAF | {"size": 10**400})


def test_further_keys_pass_and_absent_fields_take_their_default_where_that_is_asked_for():
    leaf = {"name": "a", "size": 1.5, "whole": None, "seconds": 2}

    assert typed(Leaf, leaf, further=True) == Leaf("a", 1.5, False)
    assert typed(tuple[Leaf, ...], [leaf], further=True) == (Leaf("a", 1.5, False),)
    with pytest.raises(MistypedError, match="^size is None, expected float"):
        typed(Leaf, {"name": "a"}, further=True)
