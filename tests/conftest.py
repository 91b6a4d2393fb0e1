"""Engines, tiny checkpoints and bundles that the tests share; TensorFlow loads only when asked."""

import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytest.register_assert_rewrite(
    "adam_trajectory",
    "checkpoint_files",
    "gradient_runs",
    "gradients",
    "simulations",
    "sources",
    "stand_in_runs",
    "trajectory",
)

import tiny
from desktop_child import in_child
from required import fail_in_ci
from shared_folders import session_root, shared_folder

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.interpreter import InterpreterEngine
from pocketllm.runtime.engine.model import Model, open_model
from pocketllm.runtime.host import native_output, signals

GOLDEN_BUNDLE = Path(__file__).parent / "conformance" / "masked"
OPT_TOKENIZER = Path(__file__).parents[1] / "tflite_models" / "roberta_tokenizer"

# Up to Python 3.11 both engines are required: a missing one fails. Its wheels end there.
TFLITE_EXPECTED = sys.version_info < (3, 12) or importlib.util.find_spec("tflite_runtime")
ENGINES = ["litert", "tflite"] if TFLITE_EXPECTED else ["litert"]
if TFLITE_EXPECTED:
    # Once TensorFlow is loaded, tflite-runtime 2.14 opens no model ("vector::reserve").
    importlib.import_module("tflite_runtime.interpreter")


def pytest_report_header():
    """Says which engines the tests run in."""
    reason = "" if TFLITE_EXPECTED else "; tflite-runtime has no wheels for this Python"
    return f"engines: {', '.join(ENGINES)}{reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """No test is skipped quietly in CI."""
    report = yield
    fail_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """Nor a module."""
    report = yield
    fail_in_ci(report)
    return report


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    """Each engine in turn."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def _native_output_diverted():
    """Done once before any test: the first command called in a test would replace its stderr."""
    native_output.divert()


@pytest.fixture(scope="session", autouse=True)
def _child_closed():
    """Ends the process that exports, if there is one, with the session."""
    yield
    in_child.close()


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory):
    """Saves a tiny checkpoint, once for each set of arguments of tiny.write_checkpoint."""
    return _checkpoint_maker("tiny.write_checkpoint", tmp_path_factory)


@pytest.fixture(scope="session")
def make_opt_checkpoint(tmp_path_factory):
    """Saves a tiny OPT checkpoint, once for each set of arguments of tiny.write_opt_checkpoint."""
    return _checkpoint_maker("tiny.write_opt_checkpoint", tmp_path_factory)


@pytest.fixture(scope="session")
def make_encoder(tmp_path_factory):
    """Saves a tiny encoder, once for each set of arguments of encoder_cases.write."""
    return _checkpoint_maker("encoder_cases.write", tmp_path_factory)


@pytest.fixture(scope="session")
def make_decoder(tmp_path_factory):
    """Saves a tiny decoder, once for each set of arguments of decoder_cases.write."""
    return _checkpoint_maker("decoder_cases.write", tmp_path_factory)


@pytest.fixture(scope="session")
def checkpoint_in_pytorch(make_checkpoint, make_opt_checkpoint, make_decoder):
    """Saves a tiny checkpoint of an architecture, one that the bench reads in PyTorch too."""
    # The bench reads no RoBERTa whose decoder has a bias of its own.
    makers = {
        "roberta": lambda: make_checkpoint(tied=True),
        "opt": lambda: make_opt_checkpoint(tied=False),
        "llama": lambda: make_decoder(case="llama_wide"),
    }
    return lambda architecture: makers[architecture]()


def _checkpoint_maker(function, tmp_path_factory):
    root = session_root(tmp_path_factory)

    def make(**changes) -> Path:
        key = f"{function} {sorted(changes.items())!r}"
        return shared_folder(root, key, lambda folder: in_child(function, folder, **changes))

    return make


@pytest.fixture(scope="session")
def opt_checkpoint(tmp_path_factory) -> Path:
    """A tiny OPT with OPT's own vocabulary, so that real text has its real tokens."""
    return _with_opt_vocabulary(tmp_path_factory.mktemp("opt") / "tiny")


@pytest.fixture(scope="session")
def opt_350m_checkpoint(tmp_path_factory) -> Path:
    """The same in opt-350m's style, its LM head not tied."""
    folder = tmp_path_factory.mktemp("opt-350m") / "tiny"
    changes = {"do_layer_norm_before": False, "word_embed_proj_dim": 8, "tied": False}
    return _with_opt_vocabulary(folder, **changes)


def _with_opt_vocabulary(folder, **changes):
    tiny.write_opt_checkpoint(folder, vocab_size=50272, max_position_embeddings=700, **changes)
    for path in OPT_TOKENIZER.iterdir():
        shutil.copy(path, folder / path.name)
    return folder


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory):
    """Exports a checkpoint, once for each set of arguments of tiny.export.

    Workers share the export, and each has a copy of its own: opening a bundle may write beside it.
    """
    root = session_root(tmp_path_factory)
    bundles = {}

    def make(checkpoint: Path, **settings) -> Bundle:
        key = f"export {checkpoint} {sorted(settings.items())!r}"
        if key not in bundles:
            exported = shared_folder(
                root, key, lambda folder: in_child("tiny.export", checkpoint, folder, **settings)
            )
            folder = tmp_path_factory.mktemp("bundle") / "tiny"
            bundles[key] = read_bundle(shutil.copytree(exported, folder))
        return bundles[key]

    return make


@pytest.fixture(scope="session")
def chunked_bundle(make_checkpoint, make_bundle) -> Bundle:
    """Codebook noise; tables and matrices in chunks, some cut off, and several slices."""
    checkpoint = make_checkpoint(hidden_act="tanh")
    return make_bundle(checkpoint, chunk_values=16 * 100, linear_values=200, slice_bytes=8192)


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory) -> Bundle:
    """The committed bundle, for machines that cannot export one."""
    folder = tmp_path_factory.mktemp("golden") / "tiny"
    shutil.copytree(GOLDEN_BUNDLE, folder)
    return read_bundle(folder)


@pytest.fixture(scope="session")
def open_ready():
    """Opens a bundle and brings its weights in: (bundle, engine) -> Model.

    `interpreter` opens it in an Interpreter also where `open_model` would take another engine.
    """

    def open_(bundle: Bundle, engine: str, interpreter: bool = False) -> Model:
        if interpreter:
            model = Model(bundle, InterpreterEngine(engine, bundle.model_path, threads=1))
        else:
            model = open_model(bundle, engine=engine, threads=1)
        model.initialize()
        return model

    return open_


@pytest.fixture
def own_signals():
    """Ctrl-C and SIGTERM as a command takes them; the tests after it know of none that came."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals.install()
    yield
    signals.install()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def noise_bundle(request):
    """Returns a bundle of a noise kind, or the committed one (codebook of 128 x 16)."""

    def make(kind):
        if kind == "golden":
            return request.getfixturevalue("golden_bundle")
        if kind == "codebook":
            return request.getfixturevalue("chunked_bundle")
        checkpoint = request.getfixturevalue("make_checkpoint")(num_hidden_layers=1)
        export = request.getfixturevalue("make_bundle")
        return export(checkpoint, lengths=(8,), noise=kind, chunk_values=16 * 99)

    return make
