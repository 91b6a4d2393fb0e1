"""Conversation: prompts to tokens, and a chat that goes on."""

from collections.abc import Mapping, Sequence

from ..bundle.contents import Bundle
from ..data.spans import SpanTokenizer
from ..data.tokenizer import load_tokenizer
from ..errors import InputError
from ..tasks.chat import ASSISTANT, USER
from .prompts import Prompt, chat_prompt, text_prompt
from .writer import check_prompt, known_ids


class Conversation:
    """Turns prompts into tokens; keeps what was said in a chat.

    Attributes:
      tokenizer: of the bundle, for decoding.
      known: [V] bool, the ids that it has.
      messages: of the chat so far; of a bundle without a chat template always none.
    """

    def __init__(self, bundle: Bundle):
        self._bundle = bundle
        self.tokenizer = load_tokenizer(bundle.tokenizer_path)
        self.known = known_ids(self.tokenizer, bundle.config["vocab_size"])
        self._spans = SpanTokenizer(self.tokenizer, bundle.special_tokens)
        self.messages: Sequence[Mapping[str, str]] = ()

    def ids_of(self, prompt: Prompt) -> list[int]:
        """Returns the tokens of a prompt.

        Raises:
          InputError: there is none, or there are more than the bundle's context.
        """
        ids, _ = self._spans.encode_all([prompt.spans])[0]
        try:
            check_prompt(self._bundle, len(ids))
        except InputError as error:
            raise InputError(f"{prompt.where}: {error}" if prompt.where else str(error)) from error
        return ids.tolist()

    def begin(self) -> None:
        """Forgets what was said."""
        self.messages = ()

    def prompt_behind(self, text: str) -> Prompt:
        """Returns the prompt that a person's next message makes with all before it."""
        if self._bundle.chat is None:
            return text_prompt(text)
        return chat_prompt(self._bundle, [*self.messages, {"role": USER, "content": text}])

    def answered(self, prompt: Prompt, answer: str) -> None:
        """Keeps an answer to a prompt."""
        if prompt.messages:
            self.messages = (*prompt.messages, {"role": ASSISTANT, "content": answer})
