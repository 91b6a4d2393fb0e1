"""Everything used of the exporter's libraries that none of their releases promises.

LiteRT's generated schema, and names of TensorFlow's converter. All are checked before anything is
converted; an export with another version of either could be slow, or unreadable.
"""

from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from pocketllm.runtime.engine.probe_model import OPERATORS, probe_model
from pocketllm.runtime.errors import InputError

# Distribution -> the versions that the tests ran with; setup.cfg says the same.
TESTED = {"ai-edge-litert": ">=2.3,<2.4", "tensorflow": ">=2.20,<2.22"}
FILE_IDENTIFIER = b"TFL3"
# Of TensorFlow's converter: switches, what its `convert` calls before and after the conversion, and
# where the first leaves a saved function.
UNFOLD, NO_METADATA = "unfold_batchmatmul", "exclude_conversion_metadata"
SAVE, POLISH = "_convert_concrete_functions_to_saved_model", "_optimize_tflite_model"
SAVED = {"_saved_model_tags": {"serve"}, "_saved_model_exported_names": ["serving_default"]}
FOLDER, READ_SAVED = "saved_model_dir", "_parse_saved_model_args"
# Of SaveOptions: the converter reads no gradients, and saving them takes longer than the function.
NO_GRADIENTS = {"experimental_custom_gradients": False}
BUFFER_OFFSET = 6  # vtable offset of Buffer's field `offset`, the schema's second

__all__ = [
    "FILE_IDENTIFIER",
    "NO_GRADIENTS",
    "check_schema",
    "configure",
    "pack",
    "place_buffers",
    "schema",
]


def configure(converter: Any, save: Callable[[str], Any]) -> None:
    """Makes a converter convert, and nothing else (docs/decisions/0059-the-converter-alone.md).

    It leaves products of matrices as they are. Unfolded, a product becomes FULLY_CONNECTED: six
    times slower with weights that vary (docs/decisions/0002-batch-matmul-not-fully-connected.md).
    It does not save and load the functions of gradients, joins no equal buffers, which `bind` does,
    and adds no metadata, which a bundle has of its own.

    Args:
      converter: of one function; gets the folder's contents from `save`.
      save: writes the function to a folder as a SavedModel; returns its GraphDef.

    Raises:
      InputError: the converter lacks one of these switches.
    """

    def saved(folder):
        graph = save(folder)
        for name, value in {FOLDER: folder, **SAVED}.items():
            setattr(converter, name, value)
        getattr(converter, READ_SAVED)(always_enable_saved_model_import=True)
        return graph, [], []  # the inputs' shapes are all known

    replaced = {
        UNFOLD: False,
        NO_METADATA: True,
        SAVE: saved,
        POLISH: lambda flatbuffer, *_, **__: flatbuffer,
    }
    for name in (*replaced, *SAVED, FOLDER, READ_SAVED):
        if not hasattr(converter, name):
            raise _refusal("tensorflow", f"its converter has no {name}")
    for name, value in replaced.items():
        setattr(converter, name, value)


def pack(root: schema.ModelT) -> bytes:
    """Returns the flatbuffer of a model."""
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(root.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def place_buffers(flatbuffer: bytearray, offsets: dict[int, int]) -> None:
    """Writes the offsets of buffers into a packed model, in place.

    Args:
      flatbuffer: from `pack`; the buffers have an offset already, of any value.
      offsets: index of a buffer -> its offset in the file.
    """
    root: Any = schema.Model.GetRootAs(flatbuffer, 0)
    for index, offset in offsets.items():
        table = root.Buffers(index)._tab
        place = table.Pos + table.Offset(BUFFER_OFFSET)
        flatbuffer[place : place + 8] = offset.to_bytes(8, "little")


@cache
def check_schema() -> None:
    """Checks that the schema's objects read a model, and write it so that it reads the same.

    Raises:
      InputError: something of it is not as it was in the tested versions.
    """
    try:
        root: Any = schema.ModelT.InitFromPackedBuf(probe_model(), 0)
        codes = [root.operatorCodes[entry.opcodeIndex] for entry in root.subgraphs[0].operators]
        names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
        operators = [names[code.builtinCode] for code in codes]
        same = pack(schema.ModelT.InitFromPackedBuf(pack(root), 0)) == pack(root)
        root.buffers[0].offset = root.buffers[0].size = 1
        placed = bytearray(pack(root))
        place_buffers(placed, {0: 1 << 40})
        moved: Any = schema.ModelT.InitFromPackedBuf(placed, 0)
        same = same and moved.buffers[0].offset == 1 << 40
    except Exception as error:  # whatever an unknown schema does
        line = " ".join(f"{error}".split())
        raise _refusal("ai-edge-litert", f"its schema: {type(error).__name__}: {line}") from error
    if operators != OPERATORS or not same:
        raise _refusal("ai-edge-litert", "its schema reads another model than it wrote")


def _refusal(distribution, problem):
    version, tested = metadata.version(distribution), TESTED[distribution]
    return InputError(
        f"{distribution} {version}: {problem}, not as in the versions that PocketLLM was tested "
        f"with; install '{distribution}{tested}'"
    )
