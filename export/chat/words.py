"""Words of a chat template that it may look for in contents, and do something with."""

from collections.abc import Collection, Iterable, Iterator

from .template import syntax

LONGEST = 100  # characters; a longer text is one that the template writes
# Methods of strings, or filters of Jinja, that take away any of the characters of their argument.
OF_CHARACTERS = ("lstrip", "rstrip", "strip", "trim")
OF_EDGES = ("endswith", "startswith")


def words_of(text: str) -> tuple[str, ...]:
    """Returns the texts that a template spells, any of which it may look for.

    Raises:
      InputError: it is no template.
    """
    from jinja2 import nodes

    tree = syntax(text)
    constants = [constant.value for constant in tree.find_all(nodes.Const)]
    characters = (sign for word in _arguments(tree, OF_CHARACTERS) for sign in word)
    return _distinct((*constants, *characters))


def edge_words_of(text: str) -> tuple[str, ...]:
    """Returns those that a template looks for at the edges of a text; raises as `words_of`."""
    return _distinct(_arguments(syntax(text), OF_EDGES))


def _arguments(tree, names: Collection[str]) -> Iterator[str]:
    """Yields the texts that a template's calls of these methods and filters have first."""
    from jinja2 import nodes

    calls = (c for c in tree.find_all(nodes.Call) if isinstance(c.node, nodes.Getattr))
    arguments = [call.args for call in calls if call.node.attr in names]
    arguments += [applied.args for applied in tree.find_all(nodes.Filter) if applied.name in names]
    for first, *_ in filter(None, arguments):
        if isinstance(first, nodes.Const) and isinstance(first.value, str):
            yield first.value


def _distinct(words: Iterable[object]) -> tuple[str, ...]:
    texts = (word for word in words if isinstance(word, str) and 0 < len(word) <= LONGEST)
    return tuple(dict.fromkeys(texts))
