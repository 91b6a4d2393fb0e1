"""The parameters of a federation: by an emulated phone's own interpreter, and by `verify`."""

from collections.abc import Iterable
from pathlib import Path

import phone as emulated
from small_runs import pocketllm

SHA256 = """
from pathlib import Path
from pocketllm.federated.replica import Replica
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.run.restore import bring_to, point_of
model = open_model(read_bundle({bundle!r}), threads=1)
model.initialize()
bring_to(model, point_of(Path({run!r}), model.bundle, {steps}))
print(Replica(model).sha256())
"""


def sha256_there(image: Path, bundle: Path, run: Path, steps: int) -> str:
    """Returns the sha256 of a run's replayed parameters, as the image's aarch64 programs have them.

    Args:
      image: a device image.
      bundle: the bundle's folder, on this machine.
      run: a run directory, on this machine.
      steps: after which.
    """
    code = SHA256.format(bundle=str(bundle), run=str(run), steps=steps)
    done = emulated.run_image(image, code=code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def verified(run: Path, clients: Iterable[Path], bundle: Path) -> str:
    """Returns what `pocketllm federate verify` prints of a server's run and its clients'."""
    done = pocketllm(
        "federate", "verify", f"--run={run}", f"--runs={','.join(map(str, clients))}",
        f"--bundle={bundle}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
