"""Feeds the readers of a run's files with what no program of ours wrote (atheris, libFuzzer).

A reader may refuse (InputError or RunError) and nothing else: another exception, a reading that
takes more than 10 seconds or more than 1 GB ends the fuzzing with exit code 1, and the input is
kept beside the corpus. Seeds are real files. Where a checksum would refuse every change, half of
the inputs get a right one, so that what stands behind it is reached too.

example (needs pip install 'pocketllm[fuzz]'):
  pocketllm torture fuzz --target=journal --bundle=BUNDLE --run=RUN --minutes=10
  pocketllm torture fuzz --target=data --bundle=BUNDLE --data=train.tsv,rows.jsonl
  pocketllm torture fuzz --target=tokenizer --bundle=BUNDLE
"""

import json
import mmap
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from absl import flags

from pocketllm.runtime.commands.flags import definer

TARGETS = ("journal", "snapshot", "bundle", "data", "tokenizer")
SECONDS_EACH, MEGABYTES = 10, 1024

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.enum("target", None, list(TARGETS), "kind of file to alter")
define.string("bundle", None, "bundle folder, a small one")
define.string("run", None, "run directory: journal and snapshots")
define.list("data", [], "data files")
define.float("minutes", 10.0, "length in minutes", 0.0)
define.integer("seed", 1, "random seed of the mutations", 1)
flags.mark_flags_as_required(["target", "bundle"], flag_values=FLAGS)
COUNT = struct.Struct("<Q")


def seeds(target: str, bundle: Path, run: Path | None, data: list[str]) -> Iterator[bytes]:
    """Yields real files, each behind the byte that says what is done with it, see `reader`."""
    files = {
        "journal": lambda: [run / "journal"],
        "snapshot": lambda: list(run.glob("parameters-*.npz")),
        "bundle": lambda: [bundle / "bundle.json"],
        "data": lambda: [Path(path) for path in data],
        "tokenizer": lambda: [bundle / "tokenizer.json"],
    }[target]()
    for path in files:
        for choice in range(2):
            yield bytes([choice]) + path.read_bytes()


def reader(target: str, bundle_folder: Path, work: Path) -> Callable[[bytes], None]:
    """Returns what reads an input: its first byte chooses, the rest is the file.

    Args:
      target: one of TARGETS.
      bundle_folder: a sound bundle.
      work: a folder for the file.
    """
    from pocketllm.runtime.bundle.manifest import read_bundle

    bundle = read_bundle(bundle_folder)
    makers = {
        "journal": _journal, "snapshot": _snapshot, "bundle": _bundle, "data": _data,
        "tokenizer": _tokenizer,
    }  # fmt: skip
    return makers[target](bundle, work)


def _journal(bundle, work):
    from pocketllm.runtime.journal.reader import read_journal
    from pocketllm.runtime.optim.applied import apply_step
    from pocketllm.runtime.run.folder import read_run

    def read(choice, data):
        (work / "journal").write_bytes(with_checksums(data) if choice % 2 else data)
        header = read_journal(work / "journal").header
        named = replace(bundle, checksum=header.get("bundle_checksum"))
        for step in read_run(work, named).applied:
            apply_step(_NO_MODEL, step)

    return refusing(read)


def _snapshot(bundle, work):
    from pocketllm.runtime.engine.model import Model
    from pocketllm.runtime.run.parameters import checksum_of, load_parameters

    model = Model(bundle, SimpleNamespace(run=lambda *_, **__: {}, release_tensors=lambda _: None))

    def read(choice, data):
        (work / "parameters-1.npz").write_bytes(data)
        checksum_of(work, 1)
        load_parameters(model, work, 1)

    return refusing(read)


def _bundle(bundle, work):
    from pocketllm.runtime import contract
    from pocketllm.runtime.bundle.checksum import write_with_checksum
    from pocketllm.runtime.bundle.manifest import read_bundle, read_initial, read_noise

    for name in bundle.files:
        (work / name).symlink_to((bundle.folder / name).absolute())

    def read(choice, data):
        path = work / contract.MANIFEST_FILE
        path.write_bytes(data)
        if choice % 2:
            with suppress(ValueError, RecursionError, AttributeError):
                write_with_checksum(path, json.loads(data))
        altered = read_bundle(work)
        read_noise(altered)
        for variable in altered.variables:
            read_initial(altered, variable)

    return refusing(read)


def _data(bundle, work):
    from pocketllm.runtime.data.reader import read_examples
    from pocketllm.runtime.tasks.causal import TASKS as OPTION_TASKS
    from pocketllm.runtime.tasks.masked import TASKS

    tasks = [*TASKS.values(), *OPTION_TASKS.values()]

    def read(choice, data):
        for suffix in (".tsv", ".jsonl"):
            path = work / f"rows{suffix}"
            path.write_bytes(data)
            with suppress(*_refusals()):
                read_examples(path, bundle.task)
        read_examples(path, tasks[choice % len(tasks)])

    return refusing(read)


def _tokenizer(bundle, work):
    from pocketllm.runtime import contract
    from pocketllm.runtime.data.tokenizer import load_tokenizer, tokenising

    from .edited_json import TEXTS, edited

    sound = json.loads((bundle.folder / contract.TOKENIZER_FILE).read_bytes())
    path = work / contract.TOKENIZER_FILE

    def read(choice, data):
        path.write_bytes(json.dumps(edited(sound, data)).encode() if choice % 2 else data)
        tokenizer = load_tokenizer(path)
        with tokenising(path, "the fuzzer"):
            encodings = tokenizer.encode_batch(TEXTS, add_special_tokens=False)
            for encoding in encodings:
                tokenizer.decode(encoding.ids)

    return refusing(read)


_NO_MODEL = SimpleNamespace(perturb=lambda *numbers: None)


def _refusals():
    from pocketllm.runtime.errors import InputError, RunError

    return InputError, RunError


def refusing(read):
    """Returns a reader of inputs that takes the project's own errors for an answer."""
    refusals = _refusals()

    def read_input(data):
        if data:
            with suppress(*refusals):
                read(data[0], data[1:])

    return read_input


def with_checksums(data):
    """Returns a journal's bytes with every checksum right, as far as its records are whole."""
    from pocketllm.runtime.journal.chain import WORD
    from pocketllm.runtime.journal.reader import LAYOUTS, MAGIC_BYTES

    layout = next((entry for entry in LAYOUTS if data.startswith(entry.magic)), LAYOUTS[0])
    begin = MAGIC_BYTES + WORD.size
    place = begin + int.from_bytes(data[MAGIC_BYTES:begin], "little")
    checksum = zlib.crc32(data[:place])
    repaired = data[:place] + WORD.pack(checksum)
    place += WORD.size
    while len(data) - place >= layout.shortest:
        size = layout.size_at(data, place)
        if not size or len(data) - place < size:
            break
        record = data[place : place + size - WORD.size]
        checksum = zlib.crc32(record, checksum)
        repaired += record + WORD.pack(checksum)
        place += size
    return repaired


def run(values) -> dict:
    """Fuzzes in a child process: libFuzzer reports what it met and ends its process."""
    try:
        import atheris
    except ImportError as error:
        raise _refusals()[0](f"{error}; pip install 'pocketllm[fuzz]'") from error

    os.dup2(sys.stderr.fileno(), 2)  # libFuzzer writes there, which the command line diverts
    with atheris.instrument_imports(include=["pocketllm.runtime", "zipfile"]):
        corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{values.target}-"))
        read = reader(values.target, Path(values.bundle), Path(tempfile.mkdtemp()))
    folder = Path(values.run) if values.run else None
    for number, data in enumerate(seeds(values.target, Path(values.bundle), folder, values.data)):
        (corpus / f"seed-{number}").write_bytes(data)
    print(f"corpus and failing inputs: {corpus}", flush=True)
    options = {
        "max_total_time": int(values.minutes * 60), "timeout": SECONDS_EACH, "seed": values.seed,
        "rss_limit_mb": MEGABYTES, "artifact_prefix": f"{corpus}/", "print_final_stats": 1,
    }  # fmt: skip
    arguments = [f"-{name}={value}" for name, value in options.items()]
    inputs = mmap.mmap(-1, COUNT.size)  # both processes see it
    child = os.fork()
    if not child:
        atheris.Setup([sys.argv[0], *arguments, str(corpus)], _counting(read, inputs))
        atheris.Fuzz()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = COUNT.unpack(inputs[:])[0]
    if code:
        raise _refusals()[1](
            f"{values.target}: a reader failed on input {count:,} (exit code {code}); the input is "
            f"kept in {corpus}"
        )
    print(f"{values.target}: {count:,} inputs, nothing found")
    return {"corpus": str(corpus), "target": values.target, "inputs": count}


def _counting(read, inputs):
    """Returns `read`, which also counts its calls in shared memory."""

    def counting(data):
        inputs[:] = COUNT.pack(COUNT.unpack(inputs[:])[0] + 1)
        read(data)

    return counting
