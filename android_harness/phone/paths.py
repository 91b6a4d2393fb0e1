"""Where things are on the phone."""

from shlex import quote

from pocketllm.runtime.errors import InputError

HOME = "/data/local/tmp/pocketllm"  # the shell's user may write there, and run programs
IMAGE = f"{HOME}/image"
LAUNCHER = f"{IMAGE}/pocketllm"
DATA = f"{HOME}/data"
INCOMING = f"{HOME}/incoming"  # the piece that is on its way
MAX_NAME_BYTES = 200  # with room for what is put around it, of the 255 of a file system


def bundle_folder(name: str) -> str:
    """Returns a bundle's folder."""
    return f"{HOME}/bundles/{name}"


def run_folder(name: str) -> str:
    """Returns a run directory."""
    return f"{HOME}/runs/{name}"


def data_folder(sha256: str) -> str:
    """Returns the folder of a data file of ours."""
    return f"{DATA}/{sha256[:16]}"


def job_folder(name: str) -> str:
    """Returns the folder of what a detached command says."""
    return f"{HOME}/jobs/{name}"


def training_job(run: str) -> str:
    """Returns the name of the detached command that trains a run."""
    return f"train-{run}"


def result_file(name: str) -> str:
    """Returns the file of a detached command's result, one JSON object."""
    return f"{job_folder(name)}/result"


def checked_name(flag: str, path: str) -> str:
    """Returns the last part of a path: what the thing is called on the phone.

    Raises:
      InputError: it cannot be a name there.
    """
    name = path.rstrip("/").rpartition("/")[2]
    bad = name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES
    if bad:
        raise InputError(
            f"--{flag}={path!r}: {name!r} cannot be a name on the phone; give one of printable "
            f"characters, {MAX_NAME_BYTES} bytes at most"
        )
    return name


def script(*lines: str, **paths: str) -> str:
    """Returns a shell script; each of `paths` is a variable in it, safely quoted."""
    return "\n".join([*(f"{name}={quote(str(value))}" for name, value in paths.items()), *lines])
