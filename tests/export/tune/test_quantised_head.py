"""A head of integers: the tokens' probabilities are of one distribution, whatever is scored."""

import numpy as np
import pytest

from pocketllm.runtime import contract

pytestmark = pytest.mark.desktop

PROMPT, ROWS, TOKENS = (40, 50, 60), 256, 8
# task -> the inputs that say that a row's last token is scored.
SCORED = {
    "copa": {contract.OPTION_START: len(PROMPT), contract.OPTION_TOKENS: 1},
    "sft": {contract.LOSS_MASK: [0] * len(PROMPT) + [1] + [0] * (TOKENS - len(PROMPT) - 1)},
}
TOLERANCE = 1e-4  # of a sum of float32 over the vocabulary


@pytest.mark.parametrize("case", ["llama", "llama_wide"])
@pytest.mark.parametrize("task", SCORED)
def test_the_probabilities_of_all_tokens_behind_a_prompt_add_up_to_1(
    task, case, make_decoder, make_bundle, open_ready
):
    settings = {"kind": contract.LORA, "base": contract.INT8, "batch_size": ROWS}
    bundle = make_bundle(make_decoder(case=case), task=task, lengths=(TOKENS,), **settings)
    model = open_ready(bundle, "litert")
    vocabulary, total = bundle.config["vocab_size"], 0.0
    for first in range(0, vocabulary, ROWS):
        ids = np.zeros([ROWS, TOKENS], np.int32)
        last = np.arange(first, min(first + ROWS, vocabulary))
        ids[:, : len(PROMPT)] = PROMPT
        ids[: len(last), len(PROMPT)] = last
        mask = (np.arange(TOKENS) <= len(PROMPT)).astype(np.int32)
        outputs = model.engine.run(
            contract.forward_loss_for(TOKENS),
            **{contract.INPUT_IDS: ids, contract.ATTENTION_MASK: np.tile(mask, (ROWS, 1))},
            **{name: np.array([value] * ROWS, np.int32) for name, value in SCORED[task].items()},
            **{contract.WEIGHT: np.ones(ROWS, np.float32)},
        )
        total += np.exp(outputs[contract.LOGITS][: len(last), 0].astype(np.float64)).sum()

    assert abs(total - 1) <= TOLERANCE
