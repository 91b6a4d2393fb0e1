"""roberta-micro with pure forms, as the tests of accelerators export it."""

from pocketllm.tflite_models.presets import MICRO

TOKENS = 16
# With pairs, both probes of a step are one forward pass too.
TUNINGS = {
    "full": {},
    "lora": {"kind": "lora"},
    "lora on int8": {"kind": "lora", "base": "int8", "pairs": True},
}


def pure_bundle(make_bundle, tuning: str):
    """Exports one of TUNINGS, in batches of 3, by the fixture `make_bundle`."""
    from pocketllm.export.tune.lora import Lora

    settings = TUNINGS[tuning] | ({"lora": Lora()} if TUNINGS[tuning] else {})
    return make_bundle(MICRO, batch_size=3, lengths=(TOKENS,), pure=True, **settings)
