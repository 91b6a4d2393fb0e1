"""Writes text behind a prompt, with a bundle or with the parameters that a run reached from it.

--prompt is continued as it stands; --chat is a message that the model answers, through the chat
template that the bundle holds. --data takes a file of prompts (as of training rows: what they
answer is left out), or a prompt a line of a .txt file. With none of the three, on a terminal, it
is a chat: Ctrl-C ends an answer, /new begins anew, Ctrl-D ends the chat.

The text goes to stdout, all else to stderr. Of several prompts each text has its own above it.

The most likely token is taken, or with --temperature one is drawn; the same --seed draws the same.
With --run at the best dev step, the last one where no dev set was given, or --at_step.

examples:
  pocketllm generate --bundle=mine --chat='How long do eggs take?'
  pocketllm generate --bundle=mine --run=run --data=questions.jsonl --json=answers.json
  pocketllm generate --bundle=mine --prompt='Once upon a time' --temperature=0.8 --top_p=0.95
"""

import os
import sys
from contextlib import redirect_stdout
from functools import partial

from absl import flags

from .. import contract
from ..bundle.contents import Bundle
from ..errors import InputError, LossError, RunError
from ..generate.conversation import Conversation
from ..generate.prompts import Prompt, chat_prompt, read_prompts, text_prompt
from ..generate.sampling import GREATEST_SEED, Sampling, check_sampling
from ..generate.writer import USUAL_NEW_TOKENS, Writer, check_generates
from .flags import definer
from .run_point import bring_with_progress, read_point
from .shared import define_session_flags, open_bundle, open_session, required
from .talk import print_end, show, talk

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("run", None, "run directory of `pocketllm train`")
define.integer("at_step", None, "step of the run to generate with")
define.string("prompt", None, "text to continue")
define.string("chat", None, "message to answer")
define.string("data", None, "prompts: .jsonl or .json rows, or .txt, a prompt a line")
define.integer("max_new_tokens", USUAL_NEW_TOKENS, "longest text to write, in tokens", 1)
define.float("temperature", 0.0, "divides the logits of tokens; 0: the most likely one, none drawn")
define.float("top_p", 1.0, "draw from the most likely tokens that together have this probability")
define.integer("top_k", 0, "draw from so many of the most likely tokens; 0: all")
define.float("repetition_penalty", 1.0, "makes tokens that the text has less likely; 1: none")
define.integer("seed", 0, f"of the draws, 0 to {GREATEST_SEED}")


def run(values) -> list[dict]:
    """Writes; see the module's docstring."""
    required(values, "bundle")
    sampling = sampling_of(values)
    bundle = open_bundle(values)
    check_generates(bundle)
    prompts = _prompts(values, bundle)
    conversation = Conversation(bundle)
    with redirect_stdout(sys.stderr):  # stdout gets the texts, and nothing else
        point = read_point(values, bundle)
        # What is too long, or empty, is refused before gigabytes are read.
        ids = [conversation.ids_of(prompt) for prompt in prompts or ()]
        model = open_session(values, bundle, point.calls | contract.TEXTS)
        bring_with_progress(model, point)
    writer = Writer(model, conversation.tokenizer, conversation.known)
    write = partial(writer.write, most=values.max_new_tokens, sampling=sampling)
    if prompts is None:
        turns = talk(bundle, conversation, write)
        return [_entry(prompt, written) for prompt, written in turns]
    results = []
    for number, prompt in enumerate(prompts):
        if len(prompts) > 1:
            print(f"\n{number + 1}/{len(prompts)}: {prompt.shown}", flush=True)
        try:
            written = write(ids[number], number=number, hear=show)
        except LossError as error:
            where = f"{values.run} at step {point.step}" if values.run else "untuned"
            raise RunError(f"{error} ({where}); choose an earlier --at_step") from error
        print_end(prompt, written, bundle)
        results.append(_entry(prompt, written))
    return results


def sampling_of(values: flags.FlagValues) -> Sampling:
    """Returns what the flags say of how tokens are chosen; InputError for what cannot be."""
    sampling = Sampling(
        values.temperature, values.top_k, values.top_p, values.repetition_penalty, values.seed
    )
    check_sampling(sampling)
    if sampling.is_greedy and (sampling.top_k or sampling.top_p < 1):
        line = "--temperature=0 takes the most likely token: --top_k and --top_p change nothing"
        print(line, file=sys.stderr)
    return sampling


def _prompts(values, bundle: Bundle) -> list[Prompt] | None:
    """Returns what to write behind; None for a chat on the terminal."""
    given = [name for name in ("prompt", "chat", "data") if values[name].value is not None]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]} both say what to write; give one of them")
    if values.prompt is not None:
        return [text_prompt(_typed(values, "prompt"))]
    if values.chat is not None:
        return [chat_prompt(bundle, [{"role": "user", "content": _typed(values, "chat")}])]
    if values.data is not None:
        return read_prompts(values.data, bundle)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("--prompt, --chat or --data is missing; see --help")
    return None


def _typed(values, name):
    """Returns a flag's text, UTF-8 whatever the locale; InputError for other bytes."""
    try:
        return os.fsencode(values[name].value).decode()
    except UnicodeError as error:
        raise InputError(f"--{name}: found bytes that are no UTF-8, expected text") from error


def _entry(prompt, written):
    return {
        "prompt": prompt.shown,
        "text": written.text,
        "token_ids": list(written.token_ids),
        "seconds": written.seconds,
    }
