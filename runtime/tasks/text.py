"""Tasks whose text the model learns to write: prompts with completions, chats, plain text."""

from dataclasses import dataclass
from typing import ClassVar

SFT, CHAT, LM = "sft", "chat", "lm"
FORMS = (SFT, CHAT, LM)
# Which tokens are learnt: the answers and their end tokens, or every token.
ANSWERS, EVERYTHING = "answers", "all"


@dataclass(frozen=True)
class TextTask:
    """A task of learnt tokens.

    Attributes:
      name: for people.
      form: of a row, one of FORMS: a prompt and its completion, the turns of a chat, or a text.
      learnt: ANSWERS (the completion, the assistant's turns) or EVERYTHING, as always of LM.
    """

    name: str
    form: str
    learnt: str

    # What tasks with labels have, and their own text in a row.
    template: ClassVar[str] = ""
    labels: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]] = ()
    split: ClassVar[tuple[int, ...]] = ()


TASKS = {
    SFT: TextTask(SFT, SFT, ANSWERS),
    CHAT: TextTask(CHAT, CHAT, ANSWERS),
    LM: TextTask(LM, LM, EVERYTHING),
}
