"""Paths on the phone, names that may stand in them, and shell scripts with paths in them."""

from shlex import quote

from pocketllm.runtime.errors import InputError

HOME = "/data/local/tmp/pocketllm"  # adb's user may write files and run programs there
IMAGE = f"{HOME}/image"
LAUNCHER = f"{IMAGE}/pocketllm"
DATA = f"{HOME}/data"
INCOMING = f"{HOME}/incoming"  # the piece of a file that is being sent
TRAINING, ANSWERING = "train-", "answer-"  # before a run's name, in that of its job
MAX_NAME_BYTES = 200  # file systems take 255; the rest is for prefixes and suffixes of ours


def bundle_folder(name: str) -> str:
    """Returns the folder of a bundle."""
    return f"{HOME}/bundles/{name}"


def run_folder(name: str) -> str:
    """Returns the run directory of a run."""
    return f"{HOME}/runs/{name}"


def data_folder(sha256: str) -> str:
    """Returns the folder of a data file that was sent, by the file's sha256 in hex."""
    return f"{DATA}/{sha256[:16]}"


def job_folder(name: str) -> str:
    """Returns the folder of a job, see job.py; with "" the folder of all jobs."""
    return f"{HOME}/jobs/{name}"


def training_job(run: str) -> str:
    """Returns the name of the job that trains a run."""
    return f"{TRAINING}{run}"


def answering_job(run: str) -> str:
    """Returns the name of the job that answers a federation's questions in a run."""
    return f"{ANSWERING}{run}"


def run_of_job(job: str) -> str | None:
    """Returns the name of the run that a job trains, or None: it trains none."""
    return job.removeprefix(TRAINING) if job.startswith(TRAINING) else None


def result_file(name: str) -> str:
    """Returns the file of a job's result, one JSON object."""
    return f"{job_folder(name)}/result"


def checked_name(flag: str, path: str) -> str:
    """Returns the last part of a path: the name on the phone.

    Args:
      flag: the flag that the path was given with, for the message.
      path: a path here, or a name.

    Raises:
      InputError: the last part is empty, has unprintable characters or more than 200 bytes.
    """
    name = path.rstrip("/").rpartition("/")[2]
    bad = name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES
    if bad:
        raise InputError(
            f"--{flag}={path!r}: {name!r} cannot be a name on the phone; give one of printable "
            f"characters, {MAX_NAME_BYTES} bytes at most"
        )
    return name


def script(*lines: str, **paths: object) -> str:
    """Returns a shell script of these lines, which begins with a quoted assignment of each path."""
    return "\n".join([*(f"{name}={quote(str(value))}" for name, value in paths.items()), *lines])
