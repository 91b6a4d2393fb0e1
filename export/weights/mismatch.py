"""Why a checkpoint's tensors do not match its config.json, in one line that says what to do."""

import re

from ..checkpoint.reader import Checkpoint, names_in
from ..checkpoint.tensor_names import todays_names
from ..families.architecture import Architecture
from ..graph.parameters import Parameter

# Of tensors that do not match; a missing shard alone is hundreds.
MAX_PROBLEMS = 12
# Names of tensors -> what they show; whatever the config says, the parameters alone are not the
# model then.
FOREIGN_PARTS = {
    r"(^|\.)lora_[A-Za-z]": "a LoRA adapter that is not merged into its matrices; merge it (peft: "
    "merge_and_unload) and save that model",
    r"\.(SCB|qweight|qzeros|g_idx|absmax|quant_map|weight_format)$": "quantised matrices; give the "
    "checkpoint in float32, float16 or bfloat16",
}
# The same for files without any known tensor.
FOREIGN_NAMES = {
    r"sentence_encoder\.|self_attn\.qkv_proj|in_proj_weight": "a checkpoint of fairseq or metaseq; "
    "convert it with transformers' script",
}


def foreign_part(checkpoint: Checkpoint) -> str | None:
    """Says which tensors change a model in a way that no parameter shows; None without any."""
    return _matching(checkpoint, FOREIGN_PARTS)


def mismatch(
    checkpoint: Checkpoint,
    architecture: Architecture,
    parameters: list[Parameter],
    places: dict[str, str],
) -> str | None:
    """Says why the parameters cannot be read from a checkpoint; None where they can.

    Args:
      checkpoint: its tensors.
      architecture: of its config.json.
      parameters: what the loss needs.
      places: {parameter: tensor in the file}.
    """
    shapes = checkpoint.shapes
    missing = [p for p in parameters if places.get(p.name) not in shapes]
    misshapen = [p for p in parameters if p not in missing and shapes[places[p.name]] != p.shape]
    if not missing and not misshapen:
        return None
    cause = (
        _of_another_model(checkpoint, architecture, parameters, places)
        or _half_tied(architecture, missing, places)
        or _headless(checkpoint, architecture, missing)
        or _other_vocabulary(checkpoint, architecture, places, misshapen)
    )
    reason = cause or _listed(shapes, places, missing, misshapen)
    reason += _in_another_file(checkpoint, architecture, missing)
    return f"{checkpoint.source}: tensors do not match config.json: {reason}"


def _matching(checkpoint, table):
    for pattern, words in table.items():
        name = next((name for name in checkpoint.shapes if re.search(pattern, name)), None)
        if name:
            return f"{checkpoint.source}: tensor {name}: {words}"
    return None


def _of_another_model(checkpoint, architecture, parameters, places):
    """The cause where not one parameter is there."""
    if any(parameter.name in places for parameter in parameters):
        return None
    foreign = _matching(checkpoint, FOREIGN_NAMES)
    if foreign:
        return foreign.removeprefix(f"{checkpoint.source}: ")
    some = ", ".join(list(checkpoint.shapes)[:3]) or "none at all"
    return (
        f"no tensor of {architecture.hf_class}, found {some}; config.json says model_type "
        f"{architecture.model_type!r}: give the weights and the config.json of one checkpoint"
    )


def _half_tied(architecture, missing, places):
    """The cause where the config says untied, and one matrix serves for both."""
    tables = {architecture.head.decoder, architecture.head.word_embeddings}
    names = {p.name for p in missing}
    if len(names) != 1 or not names < tables or not tables & set(places):
        return None
    (absent,), (present,) = names, tables - names
    return (
        f"config.json says tie_word_embeddings false, and the file holds one matrix, {present}, "
        f"and no {absent}: transformers would draw it at random; set tie_word_embeddings to true "
        "if both are the same, or give the checkpoint with both"
    )


def _headless(checkpoint, architecture, missing):
    """The cause where all that is missing is the LM head."""
    in_head, names = architecture.names.in_head, [p.name for p in missing]
    # What classifies has its own module under the name of the head's first one (ModernBERT).
    last = f"{architecture.names.head[-1]}."
    has_last = any(name.startswith(last) for name in checkpoint.shapes)
    if not names or not all(map(in_head, names)) or has_last:
        return None
    reason = (
        f"no language-modelling head ({', '.join(names[:3])}, …): an encoder without its head, as "
        f"a model of another class saves it; transformers would draw the head at random"
    )
    return f"{reason}; give a checkpoint of {architecture.hf_class}"


def _in_another_file(checkpoint, architecture, missing):
    """Says which file beside the one that is read has what is missing."""
    names = {p.name for p in missing}
    for path in checkpoint.beside if names else ():
        if names <= set(todays_names(names_in(path), architecture.names, str(path)).places):
            first = next(iter(checkpoint.file_of.values())).name
            return (
                f"; {path.name} beside it holds what is missing, but of both transformers reads "
                f"{first}: move {first} away to have {path.name} read"
            )
    return ""


def _other_vocabulary(checkpoint, architecture, places, misshapen):
    """The cause where the word embeddings have another number of rows than the config says."""
    words = architecture.head.word_embeddings
    for parameter in misshapen:
        shape = checkpoint.shapes[places[parameter.name]]
        same_width = len(shape) == 2 and shape[1:] == parameter.shape[1:]
        if parameter.name == words and same_width:
            return (
                f"{places[words]} has {shape[0]} rows, vocab_size in config.json, or by default, "
                f"is {parameter.shape[0]}: the vocabulary was resized; set vocab_size to "
                f"{shape[0]} if the tokenizer is of that size, or give this checkpoint's "
                "config.json"
            )
    return None


def _listed(shapes, places, missing, misshapen):
    """All problems together: they show whether the config or a shard is the wrong one."""
    problems = [f"missing {places.get(p.name, p.name)} {list(p.shape)}" for p in missing]
    problems += [
        f"{places[p.name]} is {list(shapes[places[p.name]])}, expected {list(p.shape)}"
        for p in misshapen
    ]
    shown = problems[:MAX_PROBLEMS]
    more = len(problems) - len(shown)
    return (
        f"{'; '.join(shown)}"
        + (f"; and {more} more" if more else "")
        + "; give the config.json and the weights of one checkpoint (a key that config.json leaves "
        "out has transformers' default)"
    )
