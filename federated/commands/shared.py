"""What the commands of a federation share: its flags, and a client that is open."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.commands.flags import AUTO, definer
from pocketllm.runtime.commands.settings_flags import check_settings, define_settings_flags
from pocketllm.runtime.commands.shared import open_checked
from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim.interface import JOURNALLED
from pocketllm.runtime.optim.table import OPTIMIZERS

from ..aggregation import MEAN, RULES, Rule
from ..answering import Client
from ..privacy.plan import FederationConfig
from ..privacy.promise import Promise
from ..protocol import Check
from ..replica import Replica
from ..steps import NO_DATA
from ..terms import Terms, check_federation
from .private_flags import People, define_private_flags, plan_from

REFUSED_ROUNDS = 5  # of nothing else, behind which a run ends; a round of these takes seconds
ZEROTH_ORDER = {o.name: o for o in OPTIMIZERS.values() if o.kind == JOURNALLED}


def define_federation_flags(values: flags.FlagValues) -> None:
    """Defines the settings of the steps, and how clients are asked for them."""
    define_settings_flags(values, ZEROTH_ORDER)
    define = definer(values)
    define.float("lr", None, "learning rate")
    define.string("run", None, "run directory of the server")
    define.integer("round_steps", 1, "steps that a round measures, all at the same parameters", 1)
    define.enum("aggregate", MEAN, list(RULES), "how the clients' slopes are joined")
    define.float("fraction", 1.0, "share of the clients that a round asks", 0.0, 1.0)
    define.integer("min_clients", 1, "least number of answers of a round", 1)
    define.float("quorum", 0.8, "share of the clients asked whose answers end a round", 0.0, 1.0)
    define_private_flags(values)
    define.float("round_seconds", 600.0, "longest time that a round waits for answers", 0.001)


def new_folder(out: str) -> Path:
    """Returns a folder that is to be written.

    Raises:
      InputError: it holds something, or lies under a file.
    """
    path = Path(out)
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise InputError(f"{out}: {above} is a file, expected a folder; choose another --out")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{out}: exists and is not empty; choose another --out")
    return path


def client_calls(lengths: Iterable[int]) -> frozenset[str]:
    """Returns the signatures that a client calls, with data in these buckets."""
    passes = contract.PERTURB_AND_UPDATE, contract.PERTURB_AND_DECAY
    return contract.in_buckets({*passes, contract.FORWARD_LOSS}, lengths)


def open_client(
    values: flags.FlagValues,
    bundle: Bundle,
    data: Dataset,
    *,
    check: Check | None = None,
    say: Callable[[str], None],
    promise: Promise | None = None,
) -> Client:
    """Opens the bundle for a client's one answer, as `open_checked` does.

    Args:
      values: --run, and those of `define_session_flags`.
      bundle: of --bundle.
      data: the client's.
      check, say, promise: as `Client` has them.
    """
    model = open_checked(values, bundle, client_calls(data.buckets(bundle.lengths)))
    model.initialize()
    return Client(Path(values.run), Replica(model), data, check, say, promise)


def alpha_of(text: str) -> float:
    """Returns --alpha as a number. Raises InputError for none above 0."""
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not alpha > 0:
        raise InputError(f"--alpha={text}: expected a number above 0, or inf")
    return alpha


def federation_of(
    values: flags.FlagValues, bundle: Bundle, people: People
) -> tuple[FederationConfig, Terms]:
    """Returns what the flags say.

    Args:
      values: the flags.
      bundle: what is trained.
      people: who may take part.

    Raises:
      InputError: values out of their range.
    """
    if values.lr is None:
        raise InputError("--lr is missing: without data no rate can be measured here; see --help")
    check_settings(values, ZEROTH_ORDER)
    optimizer = ZEROTH_ORDER[values.optimizer]
    if values.eps == AUTO:
        raise InputError("--eps=auto: nothing is measured before a federation; give a number")
    settings = {name: getattr(values, name) for name in optimizer.settings.__dataclass_fields__}
    for option in optimizer.options:
        if settings[option.name] is None and option.of_bundle:
            settings[option.name] = option.of_bundle(bundle)
    config = FederationConfig(
        bundle.checksum,
        NO_DATA,
        values.batch_size,
        values.seed,
        optimizer.settings(**settings),
        noise=bundle.noise["kind"],
    )
    terms = Terms(
        rule=Rule(values.aggregate),
        round_steps=values.round_steps,
        share=values.fraction,
        least=values.min_clients,
        quorum=values.quorum,
        seconds=values.round_seconds,
        refused_rounds=REFUSED_ROUNDS,
    )
    plan = plan_from(values, config.batch_size, terms, people, Path(values.run))
    config = replace(config, private=plan)
    check_federation(config, terms)
    return config, terms
