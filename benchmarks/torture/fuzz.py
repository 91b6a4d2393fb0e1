"""Feeds the readers of a run's files with what no program of ours wrote (atheris, libFuzzer).

A reader may refuse (InputError or RunError) and nothing else: another exception, a reading that
takes more than 10 seconds or more than 1 GB ends the fuzzing with exit code 1, and the input is
kept beside the corpus. Seeds are real files. Where a checksum would refuse every change, half of
the inputs get a right one, so that what stands behind it is reached too.

example (needs pip install 'pocketllm[fuzz]'):
  python -m pocketllm.benchmarks.torture.fuzz --target=journal --bundle=BUNDLE --run=RUN --minutes=10
  python -m pocketllm.benchmarks.torture.fuzz --target=data --bundle=BUNDLE --data=train.tsv,rows.jsonl
"""

import json
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from absl import flags

TARGETS = ("journal", "snapshot", "bundle", "data")
SECONDS_EACH, MEGABYTES = 10, 1024

FLAGS = flags.FlagValues()
flags.DEFINE_enum("target", None, list(TARGETS), "what is read", flag_values=FLAGS)
flags.DEFINE_string("bundle", None, "bundle folder, a small one", flag_values=FLAGS)
flags.DEFINE_string("run", None, "run directory: journal and snapshots", flag_values=FLAGS)
flags.DEFINE_list("data", [], "data files", flag_values=FLAGS)
flags.DEFINE_float("minutes", 10.0, "how long", 0.0, flag_values=FLAGS)
flags.DEFINE_integer("seed", 1, "of the mutations", 1, flag_values=FLAGS)
flags.mark_flags_as_required(["target", "bundle"], flag_values=FLAGS)


def seeds(target: str, bundle: Path, run: Path | None, data: list[str]) -> Iterator[bytes]:
    """Yields real files, each behind the byte that says what is done with it, see `reader`."""
    found = {
        "journal": lambda: [run / "journal"],
        "snapshot": lambda: list(run.glob("parameters-*.npz")),
        "bundle": lambda: [bundle / "bundle.json"],
        "data": lambda: [Path(path) for path in data],
    }[target]()
    for path in found:
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
    makers = {"journal": _journal, "snapshot": _snapshot, "bundle": _bundle, "data": _data}
    return makers[target](bundle, work)


def _journal(bundle, work):
    from pocketllm.runtime.optim.mezo import MezoSettings, replay_step
    from pocketllm.runtime.run.folder import read_run
    from pocketllm.runtime.run.journal import read_journal

    def read(choice, data):
        (work / "journal").write_bytes(with_checksums(data) if choice % 2 else data)
        header = read_journal(work / "journal").header
        settings, steps = read_run(work, header.get("bundle_sha256"))
        for step in steps if isinstance(settings, MezoSettings) else ():
            replay_step(_NO_MODEL, step, settings)

    return refusing(read)


def _snapshot(bundle, work):
    from pocketllm.runtime.engine.model import Model
    from pocketllm.runtime.run.parameters import load_parameters, seal_of

    model = Model(bundle, SimpleNamespace(run=lambda *_, **__: {}, release_tensors=lambda _: None))

    def read(choice, data):
        (work / "parameters-1.npz").write_bytes(data)
        seal_of(work, 1)
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
        found = read_bundle(work)
        read_noise(found)
        for variable in found.variables:
            read_initial(found, variable)

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


_NO_MODEL = SimpleNamespace(perturb=lambda seed, scale: None, decay=lambda factor: None)


def _refusals():
    from pocketllm.runtime.errors import InputError, RunError

    return InputError, RunError


def refusing(read):
    """Returns a reader of inputs that takes the project's own errors for an answer."""
    refusals = _refusals()

    def one(data):
        if data:
            with suppress(*refusals):
                read(data[0], data[1:])

    return one


def with_checksums(data):
    """Returns a journal's bytes with every checksum right."""
    from pocketllm.runtime.run.journal import MAGIC, RECORD_BYTES

    begin = len(MAGIC) + 4
    end = begin + int.from_bytes(data[len(MAGIC) : begin], "little")
    seal = zlib.crc32(data[:end])
    sealed = data[:end] + seal.to_bytes(4, "little")
    for place in range(end + 4, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
        record = data[place : place + RECORD_BYTES - 4]
        seal = zlib.crc32(record, seal)
        sealed += record + seal.to_bytes(4, "little")
    return sealed


def main() -> None:
    """Fuzzes; libFuzzer says what it met and ends the process."""
    import atheris

    with atheris.instrument_imports(include=["pocketllm.runtime", "zipfile"]):
        corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{FLAGS.target}-"))
        work = Path(tempfile.mkdtemp())
        read = reader(FLAGS.target, Path(FLAGS.bundle), work)
    run = Path(FLAGS.run) if FLAGS.run else None
    for number, data in enumerate(seeds(FLAGS.target, Path(FLAGS.bundle), run, FLAGS.data)):
        (corpus / f"seed-{number}").write_bytes(data)
    print(f"corpus and what was found: {corpus}", flush=True)
    options = {
        "max_total_time": int(FLAGS.minutes * 60), "timeout": SECONDS_EACH, "seed": FLAGS.seed,
        "rss_limit_mb": MEGABYTES, "artifact_prefix": f"{corpus}/", "print_final_stats": 1,
    }  # fmt: skip
    given = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *given, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
