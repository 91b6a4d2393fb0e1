"""Flags of differential privacy, and the plan that they ask for."""

import math
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.typed_json import typed
from pocketllm.runtime.run.folder import CONFIG, DAMAGED

from ..privacy.accountant import noise_for
from ..privacy.plan import CLIENT, EXAMPLE, LEVELS, Plan, check_batch
from ..privacy.promise import Promise
from ..terms import Terms

DELTA = 1e-5
LEAST_EPSILON = 1e-3  # below, the accountant's own rounding begins to count
CLIP = 50.0  # of examples on roberta-micro, nineteen of twenty are below
OF_PRIVATE = ("private_level", "delta", "clip")


@dataclass(frozen=True)
class People:
    """Who may take part in a federation.

    Attributes:
      clients: how many there are.
      examples: least number of a client's examples, 0 where nobody knows.
    """

    clients: int
    examples: int


def define_private_flags(values: flags.FlagValues) -> None:
    """Defines --private and what goes with it, of the server's side."""
    define = definer(values)
    define.float("private", None, "epsilon of differential privacy; none: nothing is promised")
    levels = "; ".join(f"{level}: of {whose}" for level, whose in LEVELS.items())
    define.enum(
        "private_level", EXAMPLE, list(LEVELS), f"whose privacy, and who adds noise: {levels}"
    )
    define.float("delta", DELTA, "delta of differential privacy")
    define.float(
        "clip", CLIP,
        "bound of a projected gradient, nats per unit of z: of an example, or of a client's round "
        "in the L2 norm; with --private",
    )  # fmt: skip


def define_promise_flags(values: flags.FlagValues) -> None:
    """Defines what a client asks of a federation."""
    define = definer(values)
    define.float(
        "private", None, "largest epsilon that this client answers for; none: any, or none"
    )
    define.float("delta", DELTA, "largest delta, with --private")
    define.enum(
        "private_level", EXAMPLE, list(LEVELS),
        "with --private: client also takes noise of the server, which it must be trusted for",
    )  # fmt: skip


def promise_of(values: flags.FlagValues) -> Promise | None:
    """Returns what a client asks for. Raises InputError for impossible numbers, or some alone."""
    if values.private is None:
        _refuse_alone(values, ("delta", "private_level"))
        return None
    _check_budget(values)
    return Promise(values.private, values.delta, values.private_level)


def plan_from(
    values: flags.FlagValues, batch_size: int, terms: Terms, people: People, folder: Path
) -> Plan | None:
    """Returns the plan that the flags ask for, None without --private.

    A run that has begun keeps its own: its budget was divided by the steps asked for then.

    Args:
      values: the flags.
      batch_size: examples of a client's step.
      terms: how clients are asked.
      people: whose privacy it is.
      folder: the run directory.

    Raises:
      InputError: impossible numbers, or dp-accounting is not installed.
    """
    if values.private is None:
        _refuse_alone(values, OF_PRIVATE)
        return None
    _check_budget(values)
    if not 0 < values.clip < math.inf:
        raise InputError(
            f"--clip={values.clip:g}: with --private expected a number above 0, about the size of "
            "an example's projected gradient"
        )
    check_batch(batch_size)
    budget = values.private_level, values.private, values.delta, values.clip
    stored = _stored(folder)
    if stored and (stored.level, stored.epsilon, stored.delta, stored.clip) == budget:
        return stored
    rate, releases, members = _shape(values, batch_size, terms, people)
    noise = noise_for(values.private, values.delta, rate, releases)
    return Plan(*budget, noise, rate, releases, members)


def _shape(values, batch_size, terms, people):
    """Returns (sampling rate, releases, members) of the plan of a new run."""
    rounds = math.ceil(values.steps / terms.round_steps)
    if values.private_level == CLIENT:
        if not 0 < terms.share <= 1:
            raise InputError(f"--fraction={terms.share:g}: with --private expected more than 0")
        return terms.share, rounds, people.clients
    if batch_size > people.examples:
        raise InputError(
            f"--batch_size={batch_size}: clients have {people.examples} examples or more; with "
            "--private take a smaller batch, or --least_examples"
        )
    in_a_round = min(people.clients, max(terms.least, 1, round(terms.share * people.clients)))
    turns = math.ceil(rounds * in_a_round / people.clients) * terms.round_steps
    return batch_size / people.examples, min(values.steps, turns), people.examples


def _stored(folder):
    path = Path(folder) / CONFIG
    if not path.exists():
        return None
    entry = read_json(path, DAMAGED).get("private")
    try:
        return typed(Plan | None, entry, "private")
    except ValueError as error:
        raise InputError(f"{path}: {error}; {DAMAGED}") from error


def _refuse_alone(values, names):
    """Raises InputError for a flag that promises nothing by itself."""
    for name in names:
        if values[name].present:
            raise InputError(f"--{name} goes with --private; give an epsilon, or leave it out")


def _check_budget(values):
    if not LEAST_EPSILON <= values.private < math.inf:
        raise InputError(f"--private={values.private:g}: expected {LEAST_EPSILON:g} or more")
    if not 0 < values.delta < 1:
        raise InputError(f"--delta={values.delta:g}: expected a number between 0 and 1")
