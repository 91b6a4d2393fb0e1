"""Which chat template a bundle takes, and its pieces."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.chat import ChatPieces

from ..checkpoint.tokenizer import SpecialSpellings
from ..checkpoint.transformers_tokenizer import SourceTokenizer
from .pieces import find_pieces
from .template import CLOCK, ChatTemplate, check_syntax
from .time_limit import processor_seconds
from .verify import verify

TEMPLATE_FILE = "chat_template.jinja"
DEFAULT = "default"  # the template of several that transformers takes
OVERRIDE = "give another with --chat_template=FILE"
MOST_BYTES = 1_000_000
MOST_SECONDS = 60  # of processor time; published templates take less than one


def read_template(path: Path) -> str:
    """Reads the file of --chat_template.

    Raises:
      InputError: there is none, or it is no text.
    """
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise InputError(f"--chat_template={path}: {error.strerror}") from error
    if data is None:
        raise InputError(f"--chat_template={path}: no such file, expected a Jinja template")
    if len(data) > MOST_BYTES:
        raise InputError(f"--chat_template={path}: {len(data)} bytes, expected a Jinja template")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"--chat_template={path}: no UTF-8 at byte {error.start}, expected a Jinja template"
        ) from error
    if not text.strip():
        raise InputError(f"--chat_template={path}: empty, expected a Jinja template")
    check_syntax(text, f"--chat_template={path}", "correct the file")
    return text


def template_of(
    source: SourceTokenizer,
    spelled: SpecialSpellings,
    override: str | None,
    place: str = "chat_template",
) -> ChatTemplate | None:
    """Returns the chat template of a checkpoint, as transformers chooses it; None without one.

    Args:
      source: the checkpoint's tokenizer.
      spelled: its special tokens, for one whose files do not name them.
      override: a template instead of its own.
      place: of its own, for errors: a file, or the key of one.

    Raises:
      InputError: it has several, none of them the default, or one that is no text or no Jinja.
    """
    variables = dict(source.variables)
    if source.special is None:
        variables = {f"{role}_token": token for role, token in vars(spelled).items() if token}
    text = source.chat_template if override is None else override
    if isinstance(text, Mapping):
        if text and DEFAULT not in text:
            names = ", ".join(sorted(map(str, text)))
            raise InputError(f"chat templates {names}, none of them is {DEFAULT!r}; {OVERRIDE}")
        text = text.get(DEFAULT)
    if text is None:
        return None
    if not isinstance(text, str):
        raise InputError(f"a chat template that is no text: {str(text)[:60]!r}; {OVERRIDE}")
    if override is None:  # another was checked when it was read
        check_syntax(text, place, f"correct it, or {OVERRIDE}")
    return ChatTemplate(text, variables)


def chat_pieces(
    source: SourceTokenizer,
    spelled: SpecialSpellings,
    override: str | None = None,
    *,
    place: str = "chat_template",
    needed: bool,
    say: Callable[[str], None],
) -> ChatPieces | None:
    """Returns the pieces of a checkpoint's chat template; None where it has none to use.

    Args:
      source, spelled, override, place: as in `template_of`.
      needed: whether the task cannot do without.
      say: gets a line about a template that cannot be used, or that writes the date.

    Raises:
      InputError: `needed` or `override`, and no template, or none that is a table of pieces.
    """
    try:
        template = template_of(source, spelled, override, place)
        if template is None:
            if needed:
                raise InputError(
                    "no chat template among the tokenizer's files, which --task=chat needs: "
                    f"expected {TEMPLATE_FILE}, or chat_template in tokenizer_config.json; give "
                    "one with --chat_template=FILE"
                )
            return None
        pieces = _pieces(template, source.tokenizer)
    except InputError as error:
        if needed or override is not None:
            raise
        say(f"chat: null in bundle.json, {error}")
        return None
    if CLOCK in template.text:
        say("chat: the template writes today's date; a bundle writes the same one every day")
    return pieces


def _pieces(template, tokenizer):
    added = tokenizer.get_added_tokens_decoder().values()
    tokens = tuple(token.content for token in added if token.special)
    try:
        with processor_seconds(MOST_SECONDS):
            pieces = verify(find_pieces(template, tokens), template)
        if not any(token in pieces.assistant.suffix for token in tokens):
            raise InputError(
                f"{pieces.assistant.suffix!r} ends an answer, expected a special token of this "
                "tokenizer, which generation stops at"
            )
    except InputError as error:
        raise InputError(
            f"the chat template cannot be written as a table of pieces: {error}; {OVERRIDE}"
        ) from error
    return pieces
