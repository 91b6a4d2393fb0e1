"""Head tuning against transformers with an LM head of its own."""

import pytest
from forward import forward_inputs, model_forward, relative_error
from opt_forward import opt_inputs, score_arrays
from small_runs import complaint, pocketllm
from tuned import random_state

from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64


@pytest.mark.parametrize("architecture", ["roberta", "opt"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_label_words_rows_of_the_head_are_trained_and_nothing_else(
    tied, architecture, engine, make_checkpoint, make_opt_checkpoint, make_bundle, open_ready
):
    import torch
    from transformers import OPTForCausalLM, RobertaForMaskedLM

    checkpoint = {"roberta": make_checkpoint, "opt": make_opt_checkpoint}[architecture](tied=tied)
    task = {"roberta": "sst2", "opt": "cb"}[architecture]
    bundle = make_bundle(checkpoint, kind="head", lengths=(9,), task=task)
    model = open_ready(bundle, engine)
    kind = {"roberta": RobertaForMaskedLM, "opt": OPTForCausalLM}[architecture]
    theirs = kind.from_pretrained(checkpoint, attn_implementation="eager").double().eval()
    head = theirs.lm_head.decoder if architecture == "roberta" else theirs.lm_head
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # no longer tied
    ids = list(bundle.word_ids)

    def compare():
        if architecture == "roberta":
            inputs = forward_inputs(9, bundle.config["vocab_size"], seed=2)
            loss, logits = model_forward(theirs, inputs, ids)
        else:
            inputs = opt_inputs(bundle, 9, seed=3)
            loss, logits, _ = score_arrays(theirs, bundle, inputs)
        actual = model.engine.run(forward_loss_for(9), **inputs)
        assert relative_error(actual[LOSS], loss) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE
        return logits

    before = compare()
    values = random_state(model, seed=7)
    with torch.no_grad():
        head.weight[ids] = torch.tensor(values["lm_head.words.weight"]).double()
        if architecture == "roberta":
            head.bias[ids] = torch.tensor(values["lm_head.words.bias"]).double()
    assert relative_error(before, compare()) > 0.1
    assert len(values) == (2 if architecture == "roberta" else 1)


def test_a_task_without_label_words_has_no_head_to_tune(tmp_path):
    common = ["--model=opt-micro", "--task=copa", f"--out={tmp_path / 'out'}", "--tune=head"]
    complaint(pocketllm("export", *common), 2, "options are not one token each")
