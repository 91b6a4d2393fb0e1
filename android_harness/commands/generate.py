"""Writes text on the phone, as `pocketllm generate` does here.

--bundle and --run are names on the phone. --data is a file of prompts here, which is sent;
--device_data a path on the phone.

examples:
  pocketllm device generate --bundle=mine --run=first --chat='How long do eggs take?'
  pocketllm device generate --bundle=mine --data=questions.jsonl --json=answers.json
"""

from absl import flags

from pocketllm.runtime.commands import generate
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError

from .forward import DataFile, define_forward_flags, forward_command

FILES = (DataFile("data", "device_data", "prompts", required=False),)
WHAT = ("prompt", "chat", "data", "device_data")
JOB = "generate"

FLAGS = flags.FlagValues()
define_forward_flags(FLAGS, generate.FLAGS, FILES)


def run(values) -> list[dict]:
    """Writes; see the module's docstring."""
    required(values, "bundle")
    if all(values[name].value is None for name in WHAT):
        raise InputError("--prompt, --chat or --data is missing; see --help")
    return forward_command(values, "generate", generate.FLAGS, FILES, job=JOB)
