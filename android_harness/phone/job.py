"""Jobs: detached commands on the phone, which go on when the cable is pulled.

A job's folder holds `out` and `err`, its output; `pid`, its process; `keeper`, the process of the
shell that waits for it; `exit`, its exit code, which the keeper writes; `result`, its --json file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from pocketllm.runtime.errors import InputError, RunError

from .adb import Phone, check_output, shell
from .paths import HOME, LAUNCHER, job_folder, script

RUNNING, ENDED, LOST, NONE = "running", "ended", "lost", "none"
READ_BYTES = 256 << 10  # of stdout and of stderr, in one look
BUSY = 3  # exit code of START
MODULE = "POCKETLLM_MODULE"
# The command line is checked because a restarted phone gives the process id to another program;
# the zeros between its words are replaced because toybox's grep stops at a zero.
ALIVE = """
alive() {
    tr '\\0' ' ' 2>/dev/null <"/proc/$(cat "$job/keeper" 2>/dev/null)/cmdline" | grep -q pocketllm
} 2>/dev/null
"""
START = """
if [ ! -e "$job/exit" ] && alive; then exit 3; fi
rm -rf "$job" && mkdir -p "$job" && cd "$home" || exit 1
job=$job nohup setsid sh -c '
    trap "" HUP
    echo $$ >"$job/keeper"
    "$@" >"$job/out" 2>"$job/err" </dev/null &
    echo $! >"$job/pid.partial"
    mv "$job/pid.partial" "$job/pid"
    wait $!
    echo $? >"$job/exit.partial"
    mv "$job/exit.partial" "$job/exit"
' job "$@" </dev/null >/dev/null 2>&1 &
tries=0
until [ -e "$job/pid" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || exit 1
    sleep 0.1
done
"""
# The state is read before the output: of a job that has ended, all output is then complete.
LOOK = """
cd "$job" 2>/dev/null || { echo none; exit 0; }
if [ -e exit ]; then echo "ended $(cat exit)"
elif alive; then echo running
elif [ -e exit ]; then echo "ended $(cat exit)"
else echo lost; fi
tail -c +$((out + 1)) out | head -c "$most" >.out
tail -c +$((err + 1)) err | head -c "$most" >.err
wc -c <.out
wc -c <.err
cat .out .err
"""


@dataclass(frozen=True)
class Look:
    """A job's state and new output.

    Attributes:
      state: RUNNING, ENDED, LOST (no process and no exit code: the phone was restarted, or killed
        the keeper too) or NONE (no such job).
      code: the exit code if ENDED, else 0.
      out: bytes of stdout behind those that the caller had.
      err: the same of stderr.
    """

    state: str
    code: int
    out: bytes
    err: bytes


def start(phone: Phone, name: str, arguments: list[str], variables: Mapping[str, str] = {}) -> None:
    """Starts `pocketllm arguments…` on the phone, detached.

    Args:
      phone: the phone to run it on.
      name: the job's name; a job of this name that has ended is replaced.
      arguments: words of the command line behind `pocketllm`.
      variables: added to the environment; MODULE runs another Python module than pocketllm's.

    Raises:
      InputError: a job of this name is running.
      RunError: the job did not start.
    """
    words = " ".join(quote(word) for word in [LAUNCHER, *arguments])
    start_script = script(
        *(f"export {variable}={quote(value)}" for variable, value in variables.items()),
        f"set -- {words}",
        ALIVE,
        START,
        job=job_folder(name),
        home=HOME,
    )
    answer = shell(phone, start_script)
    if answer.code == BUSY:
        raise InputError(f"{name}: is running on the phone; `pocketllm device attach` follows it")
    if answer.code:
        lines = answer.output.strip().splitlines()
        why = lines[-1] if lines else "no pid"
        raise RunError(f"{name}: cannot be started on the phone ({why})")


def look(phone: Phone, name: str, out: int, err: int) -> Look:
    """Reads a job's state and new output.

    Args:
      phone: the phone it runs on.
      name: the job's name.
      out: bytes of stdout that the caller has already.
      err: the same of stderr.
    """
    look_script = script(ALIVE, LOOK, job=job_folder(name), out=out, err=err, most=READ_BYTES)
    answer = check_output(phone, look_script, name).encode(errors="surrogateescape")
    first, _, rest = answer.partition(b"\n")
    state, _, code = first.decode().partition(" ")
    if state == NONE:
        return Look(NONE, 0, b"", b"")
    out_bytes, err_bytes, output = rest.split(b"\n", 2)
    end = int(out_bytes)
    return Look(state, int(code or 0), output[:end], output[end : end + int(err_bytes)])


def check_stopped(phone: Phone, name: str, trouble: str) -> None:
    """Raises InputError, whose message begins with `trouble`, while a job runs."""
    running = script(ALIVE, '[ ! -e "$job/exit" ] && alive && echo yes; true', job=job_folder(name))
    if "yes" in check_output(phone, running, name):
        raise InputError(f"{trouble}; stop it (Ctrl-C in `pocketllm device attach`), or wait")


def stop(phone: Phone, name: str) -> None:
    """Sends a job SIGTERM: it ends after the step under way, as with Ctrl-C on the desktop."""
    kill = 'alive && kill -TERM "$(cat "$job/pid")"; true'
    check_output(phone, script(ALIVE, kill, job=job_folder(name)), name)


def job_names(phone: Phone) -> list[str]:
    """Returns the names of the jobs on the phone, the latest first."""
    names = script('ls -t "$jobs" 2>/dev/null; true', jobs=job_folder(""))
    return check_output(phone, names, "jobs").splitlines()
