"""Private federations for tests: plans without an accountant, on the committed bundle."""

from small_runs import run_config

from pocketllm.federated.privacy.plan import EXAMPLE, FederationConfig, Plan
from pocketllm.federated.steps import NO_DATA

EXAMPLES, BATCH, EPS = 12, 8, 1e-2


def plan(level=EXAMPLE, **changes) -> Plan:
    """Returns a plan of a level, next to no noise in it."""
    values = {
        "epsilon": 6.0, "delta": 1e-5, "clip": 1.0, "noise_multiplier": 1e-9, "releases": 4,
        "sampling_rate": BATCH / EXAMPLES if level == EXAMPLE else 1.0, "members": EXAMPLES,
    }  # fmt: skip
    return Plan(level, **values | changes)


def config_with(bundle, data, private: Plan | None, **changes) -> FederationConfig:
    """Returns a federation's config with a plan."""
    values = {"steps": 4, "batch_size": BATCH, "eps": EPS, "lr": 1e-3} | changes
    config = run_config(bundle, data, **values)
    values = {name: getattr(config, name) for name in config.__dataclass_fields__}
    return FederationConfig(**values | {"train_sha256": NO_DATA, "private": private})
