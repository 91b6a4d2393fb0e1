"""The text part of a model of text and images: its config.json as that of a model of its own."""

from typing import Any

from pocketllm.runtime.errors import InputError

TEXT_CONFIG = "text_config"
# Said of the whole model where its text_config does not say them.
SHARED = ("bos_token_id", "eos_token_id", "pad_token_id")
DTYPES = ("torch_dtype", "dtype", "transformers_version")
TIED, SOFTCAP = "tie_word_embeddings", "final_logit_softcapping"


def text_part(values: dict[str, Any], model_type: str, hf_class: str, source: str) -> dict:
    """Returns config.json of the text part, as transformers would save it alone.

    Args:
      values: parsed config.json of the whole model.
      model_type: of the text part.
      hf_class: of the text part, transformers'.
      source: the file's path.

    Raises:
      InputError: it has no text_config, or that of another model.
    """
    text = values.get(TEXT_CONFIG)
    whole = values.get("model_type")
    if not isinstance(text, dict):
        raise InputError(
            f"{source}: model_type is {whole!r} and {TEXT_CONFIG} is {repr(text)[:80]}, expected "
            "the config of its text part"
        )
    if text.get("model_type", model_type) != model_type:
        raise InputError(
            f"{source}: {TEXT_CONFIG} has model_type {repr(text['model_type'])[:80]}, expected "
            f"{model_type}"
        )
    if text.get(SOFTCAP) is not None:
        raise InputError(
            f"{source}: {TEXT_CONFIG} has {SOFTCAP} {repr(text[SOFTCAP])[:80]}, which transformers "
            f"uses in {hf_class} and not in a {whole!r}; expected null"
        )
    copied = {name: values[name] for name in (*SHARED, *DTYPES) if name in values}
    # Of the two the whole model's decides.
    tied = {TIED: values[TIED]} if TIED in values else {}
    usual = {"architectures": [hf_class], "model_type": model_type}
    return usual | copied | {k: v for k, v in text.items() if k != TIED} | usual | tied
