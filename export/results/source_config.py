"""config.json of a written checkpoint: the source's, with what the run and --dtype changed."""

import json

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError

from ..checkpoint.source_files import CONFIG_FILE, REMEDY, SourceFiles
from ..checkpoint.tokenizer_files import SETTINGS, TOKENIZER_JSON, VOCAB
from ..models import architecture_in, architecture_in_bundle

# What `export` takes as JSON objects alone.
OBJECTS = (CONFIG_FILE, *SETTINGS, TOKENIZER_JSON, VOCAB)
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
      InputError: the source's config.json is not that of the bundle's architecture.
    """
    config, ours = parsed_object(source, CONFIG_FILE, bundle), architecture_in_bundle(bundle)
    if architecture_in(config, f"{bundle.folder}: {CONFIG_FILE} of the source") is not ours:
        raise _refused(bundle, CONFIG_FILE, f"model_type is not {bundle.architecture!r}")
    if ours.hf_class not in (config.get("architectures") or ()):
        config["architectures"] = [ours.hf_class]
    # What a config.json leaves out is the architecture's own, which `export` has noted.
    if config.get(TIED, bundle.config.get(TIED, True)) != bundle.tied_decoder:
        config[TIED] = bundle.tied_decoder
    spelled = [key for key in DTYPE_KEYS if key in config] or DTYPE_KEYS[:1]
    return config | dict.fromkeys(spelled, dtype)


def check_source(source: SourceFiles, bundle: Bundle) -> None:
    """Checks what `replay` writes again, before it does the run's steps.

    Raises:
      InputError: one of the files that `export` has read as a JSON object is none.
    """
    for name in OBJECTS:
        if name in source.files:
            parsed_object(source, name, bundle)
    config_json(source, bundle, DTYPE_KEYS[0])


def config_json(source: SourceFiles, bundle: Bundle, dtype: str) -> bytes:
    """Returns config.json's bytes; arguments and InputError as of `written_config`."""
    # ASCII as transformers writes it: a lone surrogate of the source's has no UTF-8.
    try:
        text = json.dumps(written_config(source, bundle, dtype), indent=2)
    except RecursionError as error:
        raise _refused(bundle, CONFIG_FILE, "nested too deeply") from error
    return (text + "\n").encode("ascii")


def parsed_object(source: SourceFiles, name: str, bundle: Bundle) -> dict:
    """Returns a small file's JSON object; InputError where it is something else."""
    try:
        value = json.loads(source.files[name])
    except (ValueError, RecursionError) as error:
        raise _refused(bundle, name, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _refused(bundle, name, f"a JSON {type(value).__name__}, expected an object")
    return value


def _refused(bundle, name, problem):
    return InputError(
        f"{bundle.folder / contract.SOURCE_FILE}: {name} of the source: {problem}; {REMEDY}"
    )
