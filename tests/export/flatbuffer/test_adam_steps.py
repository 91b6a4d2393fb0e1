"""Adam's steps through `adam_step` against torch.optim.AdamW, on the same batches."""

import adam_cases
import pytest
from adam_trajectory import take_steps
from forward import forward_inputs
from opt_forward import opt_inputs

pytestmark = pytest.mark.desktop


# name: (case of adam_cases, weight decay and whether lr falls to 0)
ROBERTA = {
    "chunks": ("chunks", {"weight_decay": 0.0, "linear": False}),
    "untied_decay_linear": ("swish", {"weight_decay": 0.5, "linear": True}),
}
OPT = {
    "options_decay": ("options", {"weight_decay": 0.5, "linear": False}),
    "gold": ("gold", {"weight_decay": 0.0, "linear": True}),
}


@pytest.mark.parametrize("case", ROBERTA)
def test_steps_of_roberta_are_those_of_adamw(
    case, engine, make_checkpoint, make_bundle, open_ready
):
    name, hyper = ROBERTA[case]
    changes, settings = adam_cases.ROBERTA[name]
    checkpoint = make_checkpoint(**changes)
    bundle = make_bundle(checkpoint, adam=True, **settings)

    def make_inputs(bundle, tokens, number):
        return forward_inputs(tokens, bundle.config["vocab_size"], seed=number % 4)

    take_steps(checkpoint, bundle, engine, make_inputs, open_ready, **hyper)


@pytest.mark.parametrize("case", OPT)
def test_steps_of_opt_are_those_of_adamw(
    case, engine, make_opt_checkpoint, make_bundle, open_ready
):
    name, hyper = OPT[case]
    changes, settings = adam_cases.opt_settings(name)
    checkpoint = make_opt_checkpoint(**changes)
    bundle = make_bundle(checkpoint, adam=True, **settings)

    def make_inputs(bundle, tokens, number):
        return opt_inputs(bundle, tokens, number % 4)

    take_steps(checkpoint, bundle, engine, make_inputs, open_ready, **hyper)
