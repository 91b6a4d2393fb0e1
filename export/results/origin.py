"""pocketllm.json: where a written checkpoint or adapter comes from, for programs and for people."""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.journal.lines import Evaluated, known_values, read_evaluations

from ..checkpoint.source_files import REMEDY, SourceFiles, read_source_files
from ..checkpoint.tensor_names import shown
from ..checkpoint.tokenizer_files import is_unframed
from ..models import architecture_in_bundle

ORIGIN_FILE, CARD_FILE = "pocketllm.json", "README.md"


@dataclass(frozen=True)
class Origin:
    """What a result was made of.

    Attributes:
      bundle: what was trained.
      source: the small files of the checkpoint that it began from.
      step: of the run.
      dev: what the run measured after this step, on its own base; None where it did not.
      left_out: the source's tensors that the task does not use, so that no result holds them.
    """

    bundle: Bundle
    source: SourceFiles
    step: int
    dev: Evaluated | None
    left_out: tuple[str, ...]

    @property
    def is_text_part(self) -> bool:
        """Whether the source is a model of text and images, and the bundle its text part."""
        return any("vision_tower" in name.split(".") for name in self.left_out)


def origin_of(bundle: Bundle, run: Path, step: int) -> Origin:
    """Returns the origin of a run's step.

    Raises:
      InputError: the bundle is without its source.json, an evaluation was altered, or
        ignored_tensors of bundle.json is no list.
    """
    measured = {record.step: record for record in read_evaluations(run)}
    return Origin(bundle, read_source_files(bundle), step, measured.get(step), left_out(bundle))


def origin_json(origin: Origin) -> dict:
    """Returns the contents of pocketllm.json."""
    bundle, task = origin.bundle, origin.bundle.task
    return {
        "base_model": origin.source.name,
        "base_model_commit": bundle.model_commit,
        "base_storage": bundle.base,
        "bundle_checksum": bundle.checksum,
        "tune": bundle.tune,
        "task": task.name,
        "prompt": task.template,
        "labels": list(task.labels),
        "label_words": list(task.words),
        "step": origin.step,
        "dev": None if origin.dev is None else known_values(origin.dev),
        "left_out": list(origin.left_out),
    }


def left_out(bundle: Bundle) -> tuple[str, ...]:
    """Names the source's tensors that the task does not use.

    A second copy inside the LM head is none of them.
    """
    path = bundle.folder / contract.MANIFEST_FILE
    names = read_json(path, REMEDY).get("ignored_tensors", [])
    if not isinstance(names, list):
        raise InputError(f"{path}: ignored_tensors is no list; {REMEDY}")
    in_head = architecture_in_bundle(bundle).names.in_head
    return tuple(name for name in map(str, names) if not in_head(name))


def remarks(origin: Origin) -> list[str]:
    """Returns a line each about what a user of the result must know."""
    lines = []
    if origin.step == 0:
        lines.append("step 0 is the model before training; --at_step writes another step")
    whole = origin.bundle.tune == contract.FULL
    return lines + (_of_checkpoint(origin) if whole else _of_adapter(origin))


def _of_adapter(origin):
    source = origin.source
    if source.gguf is None:
        return []
    return [
        f"its base is {source.gguf}, which peft does not find as {source.name!r}: {CARD_FILE} says "
        "how to load it; --base_model names a checkpoint instead"
    ]


def _of_checkpoint(origin):
    bundle, names, lines = origin.bundle, origin.left_out, []
    if names:
        config = "that of the text part alone" if origin.is_text_part else "as it was"
        lines.append(
            f"without {shown(names)}: the task does not use them, so that the bundle does not hold "
            f"them; config.json is {config}"
        )
    framed = bundle.style == contract.CAUSAL and bundle.special_tokens.bos is not None
    if framed and is_unframed(origin.source.files):
        lines.append(
            "the source's tokenizer files name no special tokens, so that transformers puts none "
            "in front of a prompt; the run had <s> there"
        )
    return lines


def check_written_here(out: Path) -> None:
    """Raises InputError for a folder that holds files and was not written by `replay`.

    The checkpoint that a bundle began from holds files of the same names: --force must not cost it.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / ORIGIN_FILE).is_file():
        raise InputError(
            f"{out}: without {ORIGIN_FILE}, so `replay` did not write it and --force does not "
            "replace it; choose another --out"
        )
