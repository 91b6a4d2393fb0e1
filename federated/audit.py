"""What can be proven of a federation from its files: seeds, joins, equal journals, equal bits."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pocketllm.runtime.data.order import direction_seeds, step_seed
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.journal.reader import JOURNAL, Journal, read_journal
from pocketllm.runtime.run.folder import CONFIG, DAMAGED
from pocketllm.runtime.run.restore import bring_to, point_of

from .replica import Replica
from .round_lines import ROUNDS, joined, read_rounds
from .steps import NO_DATA, Steps, config_of, probing_of


def server_journal(folder: Path) -> Journal:
    """Reads a federation's journal. Raises InputError for that of another run."""
    journal = read_journal(Path(folder) / JOURNAL)
    if journal.header.get("train_sha256") != NO_DATA:
        raise InputError(f"{folder}: an ordinary run, expected the server's of a federation")
    return journal


def check_seeds(folder: Path, journal: Journal) -> None:
    """Raises InputError unless every pass goes along a direction that the header's seed gives."""
    config = config_of(journal.header, len(journal.steps))
    directions = probing_of(config).directions
    for applied in journal.steps:
        seed = step_seed(config.seed, applied.step)
        expected = {seed, *direction_seeds(seed, directions)}
        if not {one_pass.seed for one_pass in applied.passes} <= expected:
            raise InputError(
                f"{folder}: step {applied.step} goes along a direction that does not follow from "
                "the run's seed; the server did not keep to the protocol"
            )


def recompute(folder: Path, journal: Journal) -> int:
    """Takes every step again from the answers of `rounds.jsonl`; returns how many there are.

    Raises:
      InputError: a record is another one, or a step has no answers: then it is not verified.
    """
    length = _length_of(folder)
    config = config_of(journal.header, length or len(journal.steps))
    is_whole = length is not None or config.settings.lr_schedule == "constant"
    losses = {}
    for line in read_rounds(folder):
        for number, values in enumerate(joined(line, config), line.first):
            losses[number] = values  # of a round that was asked again, the last
    _check_answers(folder, journal, losses)
    steps = Steps(config, ())
    for applied in journal.steps:
        again = steps.take(applied.step, losses[applied.step])[1]
        if (again != applied) if is_whole else (again.losses != applied.losses):
            raise InputError(
                f"{folder}: step {applied.step} is not what its clients' answers give; the server "
                "did not keep to the protocol, or rounds.jsonl was altered"
            )
    return len(journal.steps)


def _check_answers(folder, journal, losses):
    """Raises InputError unless every step has answers: a round is written before its records."""
    path, count = Path(folder) / ROUNDS, len(journal.steps)
    if not count:
        raise InputError(f"{folder}: holds no step yet, so there is nothing to verify")
    if not path.exists():
        raise InputError(
            f"{path}: not there, so nothing can be verified; give the server's run directory as "
            "--run, and those of clients as --runs"
        )
    missing = [applied.step for applied in journal.steps if applied.step not in losses]
    if missing:
        raise InputError(
            f"{path}: has no answers for step {missing[0]} ({len(missing)} of the journal's "
            f"{count} steps have none), so it cannot be taken again; restore the file from a copy"
        )


def _length_of(folder) -> int | None:
    """Returns the steps that the run was asked for, which schedules follow; None where unknown."""
    path = Path(folder) / CONFIG
    steps = read_json(path, DAMAGED).get("steps") if path.exists() else None
    return steps if isinstance(steps, int) and steps > 0 else None


def shared_steps(folder: Path, server: Journal) -> int:
    """Returns the steps of a client's journal, all of which are the server's.

    Raises:
      InputError: they are not, or there is none.
    """
    journal = read_journal(Path(folder) / JOURNAL)
    count = len(journal.steps)
    if list(journal.checksums) != list(server.checksums[: count + 1]):
        raise InputError(
            f"{folder}: its journal is no beginning of the server's; it belongs to another "
            "federation, or was altered"
        )
    if not count:
        raise InputError(
            f"{folder}: holds no step yet, so nothing can be compared; leave it out of --runs"
        )
    return count


def sha256_of_all(
    folders: Sequence[Path], steps: int, open_one: Callable[[], Model]
) -> tuple[str, list[Path]]:
    """Returns the sha256 of the parameters after a step, and the folders where it is another.

    Args:
      folders: run directories that have the step; the first one's parameters count.
      steps: the step.
      open_one: opens the bundle anew.
    """
    digests = []
    for folder in folders:
        model = open_one()
        bring_to(model, point_of(folder, model.bundle, steps))
        digests.append(Replica(model).sha256())
    return digests[0], [f for f, digest in zip(folders, digests) if digest != digests[0]]
