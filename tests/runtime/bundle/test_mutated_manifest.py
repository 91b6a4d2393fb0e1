"""Any value of bundle.json is changed or removed: it is read, or refused in one line."""

import json
import shutil

from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError


def places(value, at=()):
    """Yields the path of every value inside a JSON value."""
    yield at
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)


@steady
@given(data=st.data())
def test_no_mutation_of_the_manifest_gives_anything_but_an_input_error(
    data, golden_bundle, tmp_path_factory
):
    values = json.loads((golden_bundle.folder / "bundle.json").read_text())
    where = data.draw(st.sampled_from([at for at in places(values) if at]))
    parent = values
    for key in where[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        del parent[where[-1]]
    else:
        parent[where[-1]] = data.draw(json_values)
    folder = tmp_path_factory.getbasetemp() / "mutated"
    shutil.copytree(golden_bundle.folder, folder, dirs_exist_ok=True)
    write_with_checksum(folder / "bundle.json", values)

    try:
        bundle = read_bundle(folder)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert bundle.batch_size >= 1 and bundle.lengths
