"""What `device train --runtime=native` does beside `device train`: data is encoded here, flags are
those of pocketllm-train."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.encoded_file import write_encoded
from pocketllm.runtime.errors import InputError

from ..image.native import PROGRAM
from ..phone.adb import Phone, is_there
from ..phone.paths import IMAGE
from .forward import DataFile

FILES = (
    DataFile("train", "device_data", "training data", argument="encoded"),
    DataFile("dev", "device_dev", "dev data", required=False),
)
# Flags of `pocketllm train` that pocketllm-train has too.
FLAGS = frozenset(
    {
        "batch_size", "directions", "eps", "eval_every", "lr", "lr_schedule", "max_temp",
        "min_battery", "normalize", "only_charging", "optimizer", "packed_weights", "pairs",
        "recovery_seconds", "seed", "sides", "steps", "threads", "weight_decay",
    }
)  # fmt: skip


def check_flags(
    values: flags.FlagValues, lender: flags.FlagValues, files: Sequence[DataFile]
) -> None:
    """Raises InputError for a flag of `device train` that pocketllm-train does not have.

    Args:
      values: flags of the command.
      lender: flags of `pocketllm train`.
      files: data files of the command.
    """
    own = {"bundle", "run", "json", *(name for f in FILES for name in (f.flag, f.phone_flag))}
    given = {*lender, *(file.phone_flag for file in files)}
    for name in sorted(given - FLAGS - own):
        if values[name].present:
            raise InputError(
                f"--{name}: pocketllm-train has no such flag; leave it out, or take "
                "--runtime=python"
            )


def check_image(phone: Phone) -> None:
    """Raises InputError where the phone's image has no pocketllm-train."""
    if not is_there(phone, f"{IMAGE}/{PROGRAM}"):
        raise InputError(
            f"{IMAGE}: the image on the phone has no pocketllm-train; build one with `pocketllm "
            "device image --native` and send it with `pocketllm device push`, or take "
            "--runtime=python"
        )


def encode_files(values: flags.FlagValues, folder: Path) -> None:
    """Encodes the data files that are here, and sets their flags to the rows.

    Args:
      values: flags of the command; --bundle is the bundle's folder here.
      folder: for the rows.

    Raises:
      InputError: the bundle or a data file is not here, or does not fit.
    """
    given = {file.flag: Path(path) for file in FILES if (path := values[file.flag].value)}
    if not given:
        return
    if not Path(values.bundle).is_dir():
        raise InputError(
            f"--bundle={values.bundle}: no such folder; data is encoded here, so give the folder "
            "of the bundle, or rows that are encoded on the phone (--device_data)"
        )
    bundle = read_bundle(values.bundle)
    for flag, path in given.items():
        is_training = flag == "train"
        data = load_dataset(path, bundle, training=is_training)
        print(data.describe(), flush=True)
        rows = folder / f"{path.name}.{flag}.rows"
        write_encoded(rows, data, bundle, training=is_training)
        values[flag].value = str(rows)
