"""Steps with gradients of any batch size: micro-batches are one batch, clipped as PyTorch clips."""

import numpy as np
import pytest
from forward import forward_inputs, relative_error
from gradients import TOLERANCE as GRADIENT_TOLERANCE
from opt_forward import opt_inputs
from trajectory import checkpoint_layout
from tuned import random_state

from pocketllm.runtime.contract import WEIGHT, adam_step_for
from pocketllm.runtime.data.batches import Batch
from pocketllm.runtime.errors import LossError
from pocketllm.runtime.optim.gradients import add_up

pytestmark = pytest.mark.desktop

TOKENS = 12
SETTINGS = {"adam": True, "kind": "lora", "lengths": (TOKENS,)}


@pytest.fixture(scope="module")
def opened(make_checkpoint, make_decoder, make_bundle, open_ready):
    """Opens a model with rows of its own: (case, rows, engine) -> (checkpoint, model, drawn)."""

    def make(case, engine="litert"):
        checkpoint = make_checkpoint() if case == "roberta" else make_decoder(case=case)
        task = {} if case == "roberta" else {"task": "sft"}
        model = open_ready(make_bundle(checkpoint, **SETTINGS, **task), engine)
        model.initialize_adam()
        return checkpoint, model, random_state(model, seed=7)

    return make


def batches_for(model, case, count):
    """Returns random batches of three rows, the last one with a filler."""
    vocabulary, drawn = model.bundle.config["vocab_size"], []
    for seed in range(count):
        if case == "roberta":
            inputs = forward_inputs(TOKENS, vocabulary, seed=seed)
        else:
            inputs = opt_inputs(model.bundle, TOKENS, seed)
        drawn.append(Batch(TOKENS, inputs, 2, (0, 1)))
    return drawn


def torch_gradients(checkpoint, model, values, batches):
    """Returns {parameter: PyTorch's gradient of the mean over all batches}, by weight sums."""
    import torch
    from adam_reference import TorchAdam

    reference = TorchAdam(checkpoint, model.bundle, torch.float64, values)
    total, weight = {}, 0.0
    for batch in batches:
        share = float(model.forward(batch)["weight_sum"][0])
        weight += share
        for name, gradient in reference.gradients(batch.inputs).items():
            total[name] = total.get(name, 0) + share * gradient.numpy()
    return {name: gradient / weight for name, gradient in total.items()}


@pytest.mark.parametrize("clip", [0.0, 0.01])
@pytest.mark.parametrize("case", ["roberta", "llama"])
def test_sgd_steps_down_the_gradient_of_all_micro_batches(case, clip, engine, opened):
    checkpoint, model, values = opened(case, engine)
    batches = batches_for(model, case, 3)
    expected = torch_gradients(checkpoint, model, values, batches)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in expected.values()))
    assert norm > 0.02
    share = min(1, clip / norm) if clip else 1

    gradient = add_up(model, batches, 1, clip)
    model.apply_sgd(0.5, 1.0, gradient.scale)

    assert gradient.loss == pytest.approx(model_loss(model, values, batches), abs=1e-6)
    after = checkpoint_layout(model.bundle, model)
    largest = max(np.abs(gradient).max() for gradient in expected.values()) * share
    for name, gradient in expected.items():
        moved = (values[name].astype(np.float64) - after[name]) / 0.5
        # values of 1 are rounded to 6e-8
        assert np.abs(moved - share * gradient).max() <= GRADIENT_TOLERANCE * largest + 3e-7, name


def model_loss(model, values, batches):
    """Returns the joined loss at the drawn state, which is brought back afterwards."""
    now = dict(model.read())
    random_state(model, seed=7)
    loss = model.loss(batches)
    model.write(now)
    return loss


def test_micro_batches_are_one_large_batch(make_decoder, make_bundle, open_ready):
    checkpoint, moved = make_decoder(case="llama"), []
    for rows in (3, 6):
        bundle = make_bundle(checkpoint, **SETTINGS, task="sft", batch_size=rows)
        model = open_ready(bundle, "litert")
        if rows == 3:
            batches = batches_for(model, "llama", 2)
        else:
            pairs = zip(*(batch.inputs.items() for batch in batches))
            whole = {first[0]: np.concatenate([first[1], last[1]]) for first, last in pairs}
            batches = [Batch(TOKENS, whole, 4, (0, 1, 2, 3))]
        before = random_state(model, seed=7)
        gradient = add_up(model, batches, 1, 0.0)
        model.apply_sgd(1.0, 1.0, gradient.scale)
        after = checkpoint_layout(bundle, model)
        moved.append({name: after[name] - values for name, values in before.items()})

    for name, change in moved[0].items():
        assert relative_error(change, moved[1][name]) <= 1e-5, name


def test_one_micro_batch_is_a_step_of_adam(engine, opened):
    _, model, _ = opened("roberta", engine)
    (batch,) = batches_for(model, "roberta", 1)
    for number in (1, 2, 3):
        model.adam_step(batch, number, 1e-2, 0.9)
    expected = checkpoint_layout(model.bundle, model)
    model.initialize_adam()
    random_state(model, seed=7)

    for number in (1, 2, 3):
        gradient = add_up(model, [batch], number, 0.0)
        model.apply_adam(number, 1e-2, 0.9, gradient.scale)

    for name, values in checkpoint_layout(model.bundle, model).items():
        assert relative_error(values, expected[name]) <= 1e-5, name


def test_a_gradient_that_is_not_finite_moves_nothing(opened):
    _, model, _ = opened("roberta")
    batches = batches_for(model, "roberta", 2)
    batches[1].inputs[WEIGHT][0] = np.float32(np.inf)
    before = {name: values.copy() for name, values in model.read()}

    with pytest.raises(LossError, match=r"^step 5: the .* is not finite"):
        add_up(model, batches, 5, 1.0)

    for name, values in model.read():
        assert values.tobytes() == before[name].tobytes()


def test_the_inputs_of_a_step_are_those_of_a_batch_and_three_numbers(opened):
    _, model, _ = opened("roberta")
    forward = model.bundle.signatures[f"forward_loss_{TOKENS}"]["inputs"]

    inputs = model.bundle.signatures[adam_step_for(TOKENS)]["inputs"]

    assert inputs.keys() == forward.keys() | {"lr", "step", "factor"}
    assert model.bundle.signatures[f"adam_accumulate_{TOKENS}"]["inputs"] == forward
