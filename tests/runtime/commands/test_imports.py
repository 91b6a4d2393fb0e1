"""What the runtime imports: the standard library, the packages a phone holds, and nothing else."""

import json
from pathlib import Path

import pytest
from conftest import ENGINES
from small_runs import python

import pocketllm.runtime

pytest_plugins = ["runtime_fixtures"]

OURS = {"pocketllm"}
ALLOWED = {"numpy", "absl", "tqdm", "tokenizers"}
INTERPRETERS = {"litert": {"ai_edge_litert"}, "tflite": {"tflite_runtime"}}
# Prints the packages that a piece of code brings in, over what Python itself starts with.
REPORT = """
import json, sys
before = {name.partition(".")[0] for name in sys.modules}
%s
# Cython puts modules of no file there: they have no spec.
loaded = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
after = {name.partition(".")[0] for name in loaded}
print("\\nIMPORTED", json.dumps(sorted(after - before - set(sys.stdlib_module_names))))
"""


def imported(code):
    """Returns the packages from outside the standard library that the code imports."""
    done = python(REPORT % code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.rpartition("IMPORTED ")[2]))


def modules():
    """Names every module of the runtime, those of sub-packages with dots."""
    folder = Path(pocketllm.runtime.__file__).parent
    paths = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py")]
    return sorted(".".join(path.parts) for path in paths if path.name != "__init__")


def test_every_module_imports_only_what_a_phone_holds():
    names = modules()
    assert {
        "cli",
        "engine.interpreter",
        "optim.mezo",
        "commands.train",
        "data.encode_masked",
    } <= set(names)
    lines = "\n".join(f"import pocketllm.runtime.{name}" for name in names)

    assert imported(lines) == OURS | ALLOWED  # no interpreter before one is asked for


@pytest.mark.parametrize("name", modules())
def test_every_module_can_be_the_first_to_be_imported(name):
    assert imported(f"import pocketllm.runtime.{name}") <= OURS | ALLOWED


@pytest.mark.parametrize("engine_name", ENGINES)
def test_training_and_evaluating_import_only_the_interpreter_asked_for(
    engine_name, golden_bundle, train_file, tmp_path
):
    common = [f"--bundle={golden_bundle.folder}", f"--engine={engine_name}", f"--run={tmp_path}/r"]
    train = ["train", *common, f"--train={train_file}", f"--dev={train_file}", "--steps=2"]
    evaluate = ["eval", *common, f"--data={train_file}"]
    code = (
        "from pocketllm.runtime.cli import main\n"
        f"assert main({train!r}) == 0\nassert main({evaluate!r}) == 0"
    )

    assert imported(code) == OURS | ALLOWED | INTERPRETERS[engine_name]
