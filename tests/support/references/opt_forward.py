"""OPT forward passes to compare: inputs of a bundle's signatures, PyTorch's results of them."""

import numpy as np

from pocketllm.runtime.contract import GOLD, OPTIONS, TOKEN_LOSS, WORDS, forward_loss_for

SCORINGS = {WORDS: "cb", OPTIONS: "text", GOLD: "copa"}
WITH_TOKENS = (*SCORINGS, TOKEN_LOSS)


def task_of(scoring):
    """Returns a task with this scoring under the tiny vocabulary."""
    if scoring == TOKEN_LOSS:
        return "sft"
    if scoring != OPTIONS:
        return SCORINGS[scoring]
    from pocketllm.export.tasks.own_data import option_text_task

    return option_text_task("{text} It was", "0:terrible film,1:great,2:was it a")


def opt_inputs(bundle, tokens, seed):
    """Returns random inputs: full, padded and filler rows, options of every length."""
    rng = np.random.default_rng([seed, tokens])
    specs = bundle.signatures[forward_loss_for(tokens)]["inputs"]
    sequences = specs["input_ids"][1][0]
    lengths = rng.integers(min(bundle.option_tokens, 4) + 2, tokens + 1, sequences)
    lengths[:2] = tokens, tokens - 1
    rows = specs["weight"][1][0]
    weight = np.array([1, 2, 0], np.float32)
    lengths[sequences // rows * 2 :] = 2  # of the filler
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int32)
    ids = rng.integers(4, bundle.config["vocab_size"], (sequences, tokens)).astype(np.int32)
    inputs = {
        "input_ids": np.where(mask, ids, 1).astype(np.int32),
        "attention_mask": mask,
        "weight": weight,
    }
    if "label" in specs:
        classes = len(bundle.task.words)
        inputs["label"] = np.array([classes - 1, 0, 1], np.int32)
    if bundle.scoring == WORDS:
        inputs["last_position"] = (lengths - 1).astype(np.int32)
    elif bundle.scoring == TOKEN_LOSS:
        learnt = mask * rng.integers(0, 2, mask.shape).astype(np.int32)
        learnt[:, 0], learnt[:, 1] = rng.integers(0, 2, sequences), 1  # nothing predicts the first
        learnt[-1] = 0
        inputs["loss_mask"] = learnt
    else:
        scored = rng.integers(1, min(bundle.option_tokens, tokens - 1) + 1, sequences)
        scored[0] = min(bundle.option_tokens, tokens - 1)
        scored = np.minimum(scored, lengths - 1)
        inputs["option_tokens"] = scored.astype(np.int32)
        inputs["option_start"] = (lengths - scored).astype(np.int32)
    assert inputs.keys() == specs.keys()
    return inputs


def torch_scores(model, bundle, inputs):
    """Computes loss, logits [2, C] and weight_sum of the two rows that weigh something.

    The inputs are those of either architecture. All three are tensors, gradients can be taken.
    """
    import torch

    ids, mask = (torch.tensor(inputs[name]) for name in ("input_ids", "attention_mask"))
    scores = model(ids.long(), attention_mask=mask).logits
    weight = torch.tensor(inputs["weight"][:2]).double()
    rows = torch.arange(len(ids))
    if bundle.scoring == TOKEN_LOSS:
        return _token_scores(scores, ids.long(), torch.tensor(inputs["loss_mask"]), weight)
    if bundle.scoring == WORDS:
        positions = inputs.get("last_position", inputs.get("mask_position"))
        logits = scores[rows, positions][:2, list(bundle.word_ids)]
    else:
        log_probs = torch.log_softmax(scores, -1)
        options = [
            log_probs[row, range(first - 1, first + count - 1), ids[row, first : first + count]]
            for row, first, count in zip(rows, inputs["option_start"], inputs["option_tokens"])
        ]
        means = torch.stack([option.mean() for option in options])
        logits = means.reshape(len(inputs["weight"]), -1)[:2]
    if bundle.scoring == GOLD:
        weight = weight * torch.tensor(inputs["option_tokens"][:2])
        losses = -logits[:, 0]
    else:
        labels = torch.tensor(inputs["label"][:2]).long()
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return (losses * weight).sum() / weight.sum(), logits, weight.sum()


def _token_scores(scores, ids, learnt, weight):
    """Computes the same of two rows' learnt tokens."""
    import torch

    expected = torch.log_softmax(scores[:2, :-1], -1).gather(-1, ids[:2, 1:, None])[..., 0]
    counted = learnt[:2, 1:]
    sums, counts = (expected * counted).sum(-1), counted.sum(-1)
    total = (weight * counts).sum()
    return -(weight * sums).sum() / total, (sums / counts)[:, None], total


def score_arrays(model, bundle, inputs):
    """Does the same without gradients, and returns floats and an array."""
    import torch

    with torch.no_grad():
        loss, logits, weight_sum = torch_scores(model, bundle, inputs)
    return float(loss), logits.numpy(), float(weight_sum)
