"""Worker: MeZO in PyTorch as its authors wrote it, on a bundle's weights.

Four draws of z a step (perturb by +eps, by -2 eps, back by +eps, update), each from the same seed
with torch.normal, one parameter tensor at a time; the whole batch in one forward pass; the LM head
on the mask's row only.
"""

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import RobertaConfig, RobertaForMaskedLM

from pocketllm.runtime.batching import step_seed
from pocketllm.runtime.bundle import Bundle, read_bundle
from pocketllm.runtime.encode import Encoded
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.memory import PeakMemory

from .initial_values import initial_values
from .stopwatch import step_record, timed
from .worker import serve
from .workload import EPS, FIRST, LR, Workload, random_examples


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


def mezo_step(
    parameters: Sequence[torch.nn.Parameter],
    loss: Callable[[], float],
    seed: int,
    lr: float,
    eps: float,
    step: int,
) -> dict:
    """Takes one step and returns its record (stopwatch.step_record)."""
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


def mask_loss(
    model: RobertaForMaskedLM, examples: Sequence[Encoded], word_ids: Sequence[int]
) -> float:
    """Returns the mean loss of the label words at the mask, of examples of equal length."""
    ids = torch.from_numpy(np.stack([example.input_ids for example in examples])).long()
    positions = torch.tensor([example.mask_position for example in examples])
    labels = torch.tensor([example.label for example in examples])
    with torch.inference_mode():
        hidden = model.roberta(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        rows = hidden[torch.arange(len(examples)), positions]  # B D
        logits = model.lm_head(rows)[:, list(word_ids)]  # B C
        return torch.nn.functional.cross_entropy(logits, labels).item()


def load_model(bundle: Bundle) -> RobertaForMaskedLM:
    """Builds the bundle's model in PyTorch, with the bundle's initial values."""
    values = {name: value for name, value in bundle.config.items() if name != "model_type"}
    config = RobertaConfig(**values, tie_word_embeddings=bundle.tied_decoder)
    model = RobertaForMaskedLM(config).eval()
    parameters = dict(model.named_parameters())
    differing = sorted(set(parameters) ^ {parameter.name for parameter in bundle.parameters})
    if differing:
        raise InputError(
            f"{bundle.folder}: its parameters and RobertaForMaskedLM's differ in "
            f"{', '.join(differing)}; compare a bundle that trains all parameters"
        )
    for name, array in initial_values(bundle):
        parameters[name].data.copy_(torch.from_numpy(array))
    return model


def measure(request: dict, report) -> dict:
    """Measures a Workload; see worker.serve."""
    work = Workload(**request)
    memory = PeakMemory()
    torch.set_num_threads(work.threads)
    report("loading")
    bundle = read_bundle(work.bundle, verify=False)
    model = load_model(bundle)
    parameters = list(model.parameters())

    def loss(step, tokens):
        examples = random_examples(work, bundle.config, len(bundle.word_ids), step, tokens)
        return lambda: mask_loss(model, examples, bundle.word_ids)

    report("first loss")
    first_loss = loss(FIRST, work.seq_len)()
    records = []
    for step, tokens, is_timed in work.schedule:
        report(f"step {step}")
        seed = step_seed(work.seed, step)
        record = mezo_step(parameters, loss(step, tokens), seed, LR, EPS, step)
        if is_timed:
            records.append(record)
    peak = memory.stop()
    return {
        "runs": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "first_loss": first_loss,
        "steps": records,
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
    }


def _direction(parameter):
    return torch.normal(mean=0.0, std=1.0, size=parameter.data.size(), dtype=parameter.data.dtype)


if __name__ == "__main__":
    sys.exit(serve(measure))
