"""Everything used of the exporter's libraries that none of their releases promises.

LiteRT's generated schema, and a switch of TensorFlow's converter. Both are checked once before
anything is converted; an export with another version of either could be slow, or unreadable.
"""

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
UNFOLD = "unfold_batchmatmul"

__all__ = ["FILE_IDENTIFIER", "check_schema", "keep_products_whole", "pack", "schema"]


def keep_products_whole(converter: Any) -> None:
    """Makes a converter leave products of matrices as they are.

    Unfolded, a product becomes FULLY_CONNECTED: six times slower with weights that vary
    (docs/decisions/0002-batch-matmul-not-fully-connected.md).

    Raises:
      InputError: the converter has no such switch.
    """
    if not hasattr(converter, UNFOLD):
        raise _refusal("tensorflow", f"its converter has no {UNFOLD}")
    setattr(converter, UNFOLD, False)


def pack(root: schema.ModelT) -> bytes:
    """Returns the flatbuffer of a model."""
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(root.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


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
