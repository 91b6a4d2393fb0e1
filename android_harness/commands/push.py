"""Copies the device image and a bundle to the phone: only changed files, verified there.

The folder is /data/local/tmp/pocketllm; a bundle has its folder's name there. Files take their
places when all have arrived; a push that was cut off continues where it stopped.

examples:
  pocketllm device push --image=image --bundle=mine
  pocketllm device push --bundle=mine --serial=R58M12ABCDE
"""

from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError

from ..image.build import LAUNCHER
from ..image.lock import LOCK_NAME
from ..phone.doctor import check_abi
from ..phone.paths import IMAGE, bundle_folder, checked_name
from ..phone.tree import folder_files
from .shared import define_phone_flags, open_phone, push_tree

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_phone_flags(FLAGS)
define.string("image", None, "folder to push, from `pocketllm device image`")
define.string("bundle", None, "folder of a bundle to push")
# A machine packs the weights of a frozen base for its own kernels; only `replay` reads the source.
NOT_SENT = {contract.PACKED_FILE, contract.PACKED_STAMP, contract.SOURCE_FILE}


def run(values) -> dict:
    """Pushes; see the module's docstring."""
    if not values.image and not values.bundle:
        raise InputError("--image is missing (or --bundle); see --help")
    sources = []
    if values.image:
        sources.append(("image", _image_files(Path(values.image)), IMAGE))
    if values.bundle:
        name = checked_name("bundle", values.bundle)
        sources.append((name, _bundle_files(values.bundle), bundle_folder(name)))
    phone = open_phone(values)
    check_abi(phone)
    return {"serial": phone.serial} | {
        ("image" if target == IMAGE else "bundle"): push_tree(phone, files, target, label)
        for label, files, target in sources
    }


def _image_files(folder):
    for name in (LAUNCHER, LOCK_NAME):
        if not (folder / name).is_file():
            raise InputError(
                f"--image={folder}: no {name} in it; build one with `pocketllm device image`"
            )
    return folder_files(folder)


def _bundle_files(folder):
    bundle = read_bundle(folder)  # verified here: a damaged bundle is not sent
    names = sorted(contract.BUNDLE_FILES - NOT_SENT)
    return {name: bundle.folder / name for name in names if (bundle.folder / name).exists()}
