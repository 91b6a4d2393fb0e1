"""Samples: what a model writes behind the same prompts at each evaluation of a run.

`samples.jsonl` has a line a prompt and evaluation. It is written whole, by rename: an evaluation's
samples are all there, or none is.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..bundle.contents import Bundle
from ..engine.model import Model
from ..errors import InputError
from ..host.files import sha256_of, write_bytes
from ..host.typed_json import typed
from .conversation import Conversation
from .prompts import read_prompts
from .writer import CONTEXT, LENGTH, USUAL_NEW_TOKENS, Writer, check_generates

SAMPLES = "samples.jsonl"
SHOWN = 60  # characters of a line for people


@dataclass(frozen=True)
class Sample:
    """A line of samples.jsonl.

    Attributes:
      step: of the run, 0 before the first.
      number: of the prompt in its file, from 0.
      prompt: for people.
      text: what the model wrote behind it, the most likely token each time.
      token_ids: of that, the stop id included where one ended it.
      prompts_sha256: of the file of prompts.
      ended: why the text ended, one of writer.STOP, LENGTH and CONTEXT; "" where nobody noted it.
    """

    step: int
    number: int
    prompt: str
    text: str
    token_ids: tuple[int, ...]
    prompts_sha256: str
    ended: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the model had not ended its text."""
        return self.ended in (LENGTH, CONTEXT)

    def describe(self) -> str:
        """Returns prompt and text in one line, shortened."""
        cut = " [cut]" * self.is_cut
        return f"{_shortened(self.prompt)!r} -> {_shortened(self.text)!r}{cut}"


def read_samples(folder: Path) -> list[Sample]:
    """Reads a run's samples, in order of steps and prompts; empty where there are none.

    Raises:
      InputError: a line is damaged.
    """
    path = Path(folder) / SAMPLES
    samples = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        try:
            samples.append(typed(Sample, json.loads(line), further=True))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: line {number} is damaged ({error}); remove the file, and a journalled "
                "run that goes on writes it anew"
            ) from error
    return sorted(samples, key=lambda sample: (sample.step, sample.number))


class Samples:
    """Writes the samples of a run with the model that is trained; it changes no parameter."""

    def __init__(self, bundle: Bundle, path: str | Path, most: int = USUAL_NEW_TOKENS):
        """Reads the prompts; opens no model.

        Args:
          bundle: of the run.
          path: file of prompts, see `read_prompts`.
          most: tokens of a text.

        Raises:
          InputError: the bundle does not generate, or the file holds no such prompts.
        """
        self._conversation = Conversation(check_generates(bundle))
        self._prompts = read_prompts(path, bundle)
        self._sha256, self._most = sha256_of(Path(path)), most
        self._ids = [self._conversation.ids_of(prompt) for prompt in self._prompts]

    def recorded_steps(self, folder: Path) -> set[int]:
        """Returns the steps of which a run has the samples; InputError of a damaged file."""
        return {s.step for s in read_samples(folder) if s.prompts_sha256 == self._sha256}

    def write(self, model: Model, folder: Path, step: int) -> list[Sample]:
        """Writes and returns the samples of a step, whose parameters the model holds.

        Raises:
          InputError: the run's file is damaged.
          LossError: a logit is not finite.
          RunError: the disk is full.
        """
        earlier = read_samples(folder)
        writer = Writer(model, self._conversation.tokenizer, self._conversation.known)
        new = [self._sample(writer, step, number) for number in range(len(self._prompts))]
        same = {(sample.step, sample.prompts_sha256) for sample in new}
        kept = [s for s in earlier if (s.step, s.prompts_sha256) not in same]
        write_bytes(Path(folder) / SAMPLES, _lines([*kept, *new]))
        return new

    def _sample(self, writer, step, number):
        written = writer.write(self._ids[number], most=self._most)
        return Sample(
            step=step,
            number=number,
            prompt=self._prompts[number].shown,
            text=written.text,
            token_ids=written.token_ids,
            prompts_sha256=self._sha256,
            ended=written.ended,
        )


def _shortened(text):
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _lines(samples: Sequence[Sample]) -> bytes:
    lines = (json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples)
    return "".join(lines).encode(errors="replace")
