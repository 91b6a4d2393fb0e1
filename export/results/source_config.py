"""config.json of a written checkpoint: the source's, with what the run and --dtype changed."""

import json

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError

from ..checkpoint.source_files import CONFIG_FILE, SourceFiles
from ..models import architecture_named

# transformers before 4.56 knows the first spelling alone; 5 reads both.
DTYPE_KEYS = ("torch_dtype", "dtype")
TIED = "tie_word_embeddings"


def written_config(source: SourceFiles, bundle: Bundle, dtype: str) -> dict:
    """Returns config.json's contents: every key of the source, in its order.

    Changed are the number type, a class without the LM head, and whether the head is tied where the
    weights say otherwise than the source's config.

    Args:
      source: of the bundle.
      bundle: what was trained.
      dtype: of the tensors, as PyTorch names it.

    Raises:
      InputError: the source's config.json is no JSON object.
    """
    try:
        config = dict(json.loads(source.files[CONFIG_FILE]))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{bundle.folder}: {CONFIG_FILE} of the source: {error}") from error
    headed = architecture_named(bundle.architecture, str(bundle.folder)).hf_class
    if headed not in (config.get("architectures") or ()):
        config["architectures"] = [headed]
    if config.get(TIED, True) != bundle.tied_decoder:
        config[TIED] = bundle.tied_decoder
    spelled = [key for key in DTYPE_KEYS if key in config] or DTYPE_KEYS[:1]
    return config | dict.fromkeys(spelled, dtype)
