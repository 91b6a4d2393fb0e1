"""Words that a chat template looks for in contents: it may do something with them."""

from .template import syntax

# Methods of strings and filters of Jinja whose arguments are looked for.
SEARCHES = {
    "count", "endswith", "find", "index", "lstrip", "partition", "removeprefix", "removesuffix",
    "replace", "rfind", "rpartition", "rsplit", "rstrip", "split", "startswith", "strip",
}  # fmt: skip


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words that a template may look for, white space alone left out.

    Raises:
      InputError: it is no template.
    """
    from jinja2 import nodes

    tree = syntax(text)
    constants = []
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in SEARCHES:
            constants += call.args[:1]
    for applied in tree.find_all(nodes.Filter):
        if applied.name in SEARCHES:
            constants += applied.args[:1]
    for compared in tree.find_all(nodes.Compare):
        if any(operand.op in ("in", "notin") for operand in compared.ops):
            constants.append(compared.expr)
    for assigned in tree.find_all(nodes.Assign):
        constants.append(assigned.node)
    values = [constant.value for constant in constants if isinstance(constant, nodes.Const)]
    words = (value for value in values if isinstance(value, str) and value.strip())
    return tuple(dict.fromkeys(words))
