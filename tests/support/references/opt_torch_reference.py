"""The OPT loss as the reference computes it, in PyTorch: every option a sequence of its own, the
whole vocabulary's log-softmax on every token of an option."""

import torch
from opt_reference import TOKENIZER, reference, reference_ids
from transformers import GPT2Tokenizer, OPTForCausalLM


def load(checkpoint):
    """Loads a checkpoint in float64, evaluation mode."""
    model = OPTForCausalLM.from_pretrained(checkpoint, attn_implementation="eager")
    return model.double().eval()


def text_to_ids(folder=TOKENIZER):
    """Returns text -> token ids by transformers' OPT tokenizer, GPT-2's with OPT's vocabulary."""
    theirs = GPT2Tokenizer.from_pretrained(
        folder, bos_token="<s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"
    )
    return lambda text: theirs.encode(text, add_special_tokens=False)


def encoded_reference(name, ids, max_length):
    """Returns (encodings, golds) of an excerpt's examples; encodings: (ids, scored) an option."""
    return [
        (reference_ids(ids, prompt, texts, max_length), golds)
        for prompt, texts, golds in reference(name)
    ]


@torch.no_grad()
def option_log_probs(model, encodings):
    """Returns the log-probabilities of each option's tokens, a tensor an option."""
    log_probs = []
    for whole, scored in encodings:
        # all tokens' logits would be most of the work; the last one's predict what follows
        logits = model(torch.tensor([whole]), logits_to_keep=scored + 1).logits[0, :-1]  # scored V
        log_probs.append(torch.log_softmax(logits, -1)[torch.arange(scored), whole[-scored:]])
    return log_probs


def classification_loss(examples):
    """Mean cross-entropy over the options' mean log-probabilities; (log-probabilities, gold)s."""
    losses = [
        -torch.log_softmax(torch.stack([option.mean() for option in options]), 0)[gold]
        for options, gold in examples
    ]
    return float(torch.stack(losses).mean())


def language_model_loss(examples):
    """Mean cross-entropy over all tokens of the gold options; (log-probabilities, gold)s."""
    return float(-torch.cat([options[gold] for options, gold in examples]).mean())
