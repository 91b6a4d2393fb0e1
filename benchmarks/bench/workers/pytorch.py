"""Worker: steps in PyTorch on all of a bundle's parameters or on LoRA's, of MeZO or AdamW.

MeZO is as its authors wrote it: a step draws z four times from the same seed (perturb by +eps, by
-2 eps, by +eps, update), with torch.normal, one parameter tensor at a time. AdamW is PyTorch's, and
its LoRA is PEFT's. The whole batch is one forward pass. Dropout is off, as it is in a bundle.
"""

import sys
import time
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.host.memory import PeakMemory

from ...isolation.worker import serve
from ..pytorch.lora import add_lora
from ..pytorch.model import load_model, one_batch, row_loss
from ..stopwatch import gradient_record, step_record, timed
from ..workload import FIRST, LR, Workload, random_rows


def perturb(parameters: Sequence[torch.nn.Parameter], seed: int, scale: float) -> None:
    """θ ← θ + scale · z(seed)."""
    torch.manual_seed(seed)
    for parameter in parameters:
        parameter.data = parameter.data + scale * _direction(parameter)


def update(
    parameters: Sequence[torch.nn.Parameter], seed: int, lr: float, projected_grad: float
) -> None:
    """θ ← θ - lr · projected_grad · z(seed)."""
    torch.manual_seed(seed)
    for parameter in parameters:
        parameter.data = parameter.data - lr * (projected_grad * _direction(parameter))


def forward_only(loss: Callable[[], torch.Tensor]) -> Callable[[], float]:
    """Returns a function that computes `loss` as a number, in inference mode."""

    def number():
        with torch.inference_mode():
            return loss().item()

    return number


def mezo_step(
    parameters: Sequence[torch.nn.Parameter],
    loss: Callable[[], float],
    *,
    seed: int,
    lr: float,
    eps: float,
    step: int,
) -> dict:
    """Takes one MeZO step.

    Args:
      parameters: the parameters to train, changed in place.
      loss: computes the loss of the step's batch.
      seed: random seed of the direction z.
      lr: learning rate.
      eps: size of the probe, in units of z.
      step: the step's number.

    Returns:
      The step's record, see stopwatch.step_record.
    """
    noise_seconds, forward_seconds = [], []
    perturb_timed, update_timed = timed(perturb, noise_seconds), timed(update, noise_seconds)
    loss_timed = timed(loss, forward_seconds)
    started = time.perf_counter()
    perturb_timed(parameters, seed, eps)
    loss_plus = loss_timed()
    perturb_timed(parameters, seed, -2 * eps)
    loss_minus = loss_timed()
    projected_grad = (loss_plus - loss_minus) / (2 * eps)
    perturb_timed(parameters, seed, eps)
    update_timed(parameters, seed, lr, projected_grad)
    seconds = time.perf_counter() - started
    return step_record(step, seconds, noise_seconds, forward_seconds, (loss_plus, loss_minus))


def adam_step(optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor]) -> float:
    """Takes one step on the gradient of `loss`, [] float32; returns the loss before it."""
    optimizer.zero_grad()
    value = loss()
    value.backward()
    optimizer.step()
    return value.item()


def begin_mezo(model: PreTrainedModel, bundle: Bundle, work: Workload) -> tuple[list, Callable]:
    """Returns the trained parameters, and what takes MeZO step `step` on a loss."""
    parameters = add_lora(model, bundle) if work.lora else list(model.parameters())

    def take(loss, step):
        seed, probe = step_seed(work.seed, step), forward_only(loss)
        return mezo_step(parameters, probe, seed=seed, lr=LR, eps=work.eps, step=step)

    return parameters, take


def begin_adam(model: PreTrainedModel, bundle: Bundle, work: Workload) -> tuple[list, Callable]:
    """Returns the trained parameters, and what takes AdamW step `step` on a loss."""
    parameters = list(model.parameters())
    if work.lora:
        from ..pytorch.peft import add_peft  # no other side needs the package

        parameters = add_peft(model, bundle)
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)

    def take(loss, step):
        seconds = []
        value = timed(adam_step, seconds)(optimizer, loss)
        return gradient_record(step, seconds[0], value)

    return parameters, take


BEGINNINGS = {contract.MEZO: begin_mezo, contract.ADAM: begin_adam}


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Measures a Workload, given as a dict; `say` takes each stage; see worker.serve."""
    work = Workload(**request)
    memory = PeakMemory()
    torch.set_num_threads(work.threads)
    say("loading")
    bundle = read_bundle(work.bundle, verify=False)
    model = load_model(read_bundle(work.weights, verify=False) if work.weights else bundle)
    parameters, take = BEGINNINGS[work.optimizer](model, bundle, work)

    def loss(step, tokens):
        rows = random_rows(work, bundle, step, tokens)
        batch = one_batch(rows, tokens, bundle.special_tokens.pad)
        return lambda: row_loss(model, bundle, batch, work.full_head)

    say("first loss")
    first = loss(FIRST, work.seq_len)
    is_adam = work.optimizer == contract.ADAM
    first_loss = take(first, FIRST)["loss"] if is_adam else forward_only(first)()
    records = []
    for step, tokens, is_timed in work.schedule:
        say(f"step {step}")
        record = take(loss(step, tokens), step)
        if is_timed:
            records.append(record)
    peak = memory.stop()
    return {
        "runs": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "first_loss": first_loss,
        "steps": records,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
    }


def _direction(parameter):
    return torch.normal(mean=0.0, std=1.0, size=parameter.data.size(), dtype=parameter.data.dtype)


if __name__ == "__main__":
    sys.exit(serve(measure))
