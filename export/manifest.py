"""bundle.json: what runtime/bundle/manifest.py reads and tflite_models/FORMAT.md describes."""

from dataclasses import asdict

from pocketllm.runtime import contract
from pocketllm.runtime.tasks.chat_codec import pieces_to_json
from pocketllm.runtime.tasks.codec import to_json

from .checkpoint.tokenizer import special_ids
from .flatbuffer.model import TfliteModel
from .flatbuffer.variables import chunks_of
from .models import architecture_of, config_json
from .plan import Plan
from .private_interface import schema
from .tune.probe_size import DEFAULT_EPS

TYPE_NAMES = {schema.TensorType.FLOAT32: "float32", schema.TensorType.INT32: "int32"}


def manifest(
    plan: Plan,
    model: TfliteModel,
    noise: dict,
    places: dict[str, tuple[int, int]],
    files: dict[str, dict],
) -> dict:
    """Builds the contents of bundle.json.

    Args:
      plan: what was exported.
      model: the bound model, for the signatures.
      noise: the noise entry.
      places: external key -> (offset, size in bytes) in the model file.
      files: name -> {bytes, sha256}.
    """
    settings, weights, target = plan.settings, plan.weights, plan.target
    architecture, tuning = architecture_of(settings.config), settings.tuning
    tokens, style = settings.spellings, architecture.style
    # In FORMAT.md's order: what the model is, what it is tuned for, where its bytes lie.
    return {
        "format_version": contract.FORMAT_VERSION,
        "model_name": settings.model_name,
        **({} if settings.model_commit is None else {"model_commit": settings.model_commit}),
        "architecture": architecture.model_type,
        "style": style,
        "tied_decoder": weights.tied,
        "config": config_json(settings.config),
        "task": to_json(settings.task),
        "scoring": target.scoring,
        "word_ids": list(target.word_ids),
        "option_tokens": target.option_tokens,
        # The runtime reads no architecture, so what it needs of one stands here as numbers.
        "special_tokens": asdict(special_ids(plan.tokenizer, tokens, style)),
        "chat": pieces_to_json(settings.chat),
        "stop_ids": list(settings.stop_ids),
        "max_tokens": settings.config.max_tokens,
        # Only LoRA has settings to write down: another tuning's are its parameters' shapes.
        "tune": tuning.kind,
        "base": tuning.base,
        "default_eps": DEFAULT_EPS[tuning.kind, tuning.base],
        **({"lora": asdict(tuning.lora)} if tuning.kind == contract.LORA else {}),
        "optimizers": list(settings.optimizers),
        "batch_size": settings.batch_size,
        "lengths": list(settings.lengths),
        "context": settings.context,
        "slices": len(plan.slices),
        "noise": noise,
        "ignored_tensors": list(weights.ignored),
        # From the bound model, not the plan: names and shapes are those that an app finds.
        "signatures": _signatures(model.root),
        "parameters": [
            _parameter(parameter, chunks_of(plan.variables, parameter.name), places)
            for parameter in weights.parameters
        ],
        "frozen": [{"name": p.name, "shape": list(p.shape)} for p in weights.frozen],
        "files": files,
    }


def _parameter(parameter, chunks, places):
    return {
        "name": parameter.name,
        "shape": list(parameter.shape),
        "transposed": False,
        "decays": parameter.decays,
        "variables": [_variable(chunk, places[chunk.name][0]) for chunk in chunks],
    }


def _variable(variable, offset):
    entry = {
        "name": variable.name,
        "shape": list(variable.shape),
        "stream": variable.stream,
        "offset": offset,
    }
    return entry if variable.rows is None else entry | {"rows": list(variable.rows)}


def _signatures(model):
    def described(subgraph, maps):
        shapes = {}
        for entry in maps:
            tensor = subgraph.tensors[entry.tensorIndex]
            shapes[_text(entry.name)] = [TYPE_NAMES[tensor.type], [int(n) for n in tensor.shape]]
        return shapes

    return {
        _text(signature.signatureKey): {
            "inputs": described(model.subgraphs[signature.subgraphIndex], signature.inputs),
            "outputs": described(model.subgraphs[signature.subgraphIndex], signature.outputs),
        }
        for signature in model.signatureDefs
    }


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
