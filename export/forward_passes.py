"""The forward signatures of a bundle: one a length, in each form that was asked for."""

from collections.abc import Callable
from functools import partial

from pocketllm.runtime import contract

from .flatbuffer.bind import bind
from .flatbuffer.constants import SCALES
from .flatbuffer.model import TfliteModel
from .plan import Plan
from .signatures.forward import ForwardGraph, forward_loss, forward_pass
from .signatures.pairs import forward_pair
from .signatures.pure import forward_pure, forward_pure_pair
from .tune.apply import view_of


def bind_forward_passes(
    model: TfliteModel,
    plan: Plan,
    table_shape: tuple[int, int] | None,
    say: Callable[[str], None],
) -> dict[int, ForwardGraph]:
    """Adds `forward_loss_<tokens>` for every length, and the pairs and pure forms of the settings.

    Args:
      model: gets the signatures.
      plan: of the export.
      table_shape: [rows, columns] of the noise table, None where the kind has no table.
      say: gets a line about each signature.

    Returns:
      {tokens: the forward pass}.
    """
    settings = plan.settings
    graphs = _graphs(plan, plan.constants)
    pair = partial(forward_pair, kind=settings.noise_kind, table_shape=table_shape)
    forms = [(contract.FORWARD_LOSS, forward_loss, graphs)]
    if settings.pairs:
        forms.append((contract.FORWARD_PAIR, pair, graphs))
    if settings.pure:
        # The scales of tables stand beside the integers, which are looked up in one operator.
        unscaled = _graphs(plan, [c for c in plan.constants if c.storage != SCALES])
        forms.append((contract.FORWARD_PURE, forward_pure, unscaled))
        if settings.pairs:
            forms.append((contract.FORWARD_PURE_PAIR, forward_pure_pair, unscaled))
    for stem, convert, described in forms:
        for tokens, graph in described.items():
            say(f"converting {contract.numbered(stem, tokens)}")
            aliases = (stem,) if tokens == settings.lengths[-1] else ()
            bind(model, convert(graph, tokens=tokens, aliases=aliases))
    return graphs


def _graphs(plan, constants):
    """Returns {tokens: forward pass} of every length, with these frozen parameters."""
    settings = plan.settings
    return {
        tokens: forward_pass(
            settings.config,
            plan.variables,
            plan.target,
            tied=plan.weights.tied,
            batch=settings.batch_size,
            tokens=tokens,
            constants=constants,
            view=view_of(settings.tuning),
        )
        for tokens in settings.lengths
    }
