"""A command that goes on on the phone when the cable is pulled: started, followed, stopped.

Its folder holds `out` and `err`, what it prints; `pid`, its process; `keeper`, the shell that waits
for that one and then writes `exit`, its exit code; `result`, its --json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from pocketllm.runtime.errors import InputError, RunError

from .adb import Phone, checked, shell
from .paths import HOME, LAUNCHER, job_folder, script

RUNNING, ENDED, LOST, NONE = "running", "ended", "lost", "none"
READ_BYTES = 256 << 10  # of each output, at once
BUSY = 3
MODULE = "POCKETLLM_MODULE"
# After a restart of the phone the number may be another process's. Toybox's grep stops at a zero.
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
# Whether it has ended is asked first: what it had printed by then is there when it is read.
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
    """What a job has come to.

    Attributes:
      state: RUNNING, ENDED, LOST (the phone was restarted, or killed it all) or NONE.
      code: the exit code of one that has ended, else 0.
      out: bytes it printed from where was asked on.
      err: the same of its stderr.
    """

    state: str
    code: int
    out: bytes
    err: bytes


def start(phone: Phone, name: str, arguments: list[str], variables: Mapping[str, str] = {}) -> None:
    """Starts `pocketllm arguments…` on the phone, detached.

    Args:
      phone: where it runs.
      name: the job's; one that has ended is replaced.
      arguments: of the command line.
      variables: added to its environment; MODULE names another module than the command line.

    Raises:
      InputError: a job of this name is running.
      RunError: it cannot be started.
    """
    words = " ".join(quote(word) for word in [LAUNCHER, *arguments])
    begun = script(
        *(f"export {variable}={quote(value)}" for variable, value in variables.items()),
        f"set -- {words}",
        ALIVE,
        START,
        job=job_folder(name),
        home=HOME,
    )
    answer = shell(phone, begun)
    if answer.code == BUSY:
        raise InputError(f"{name}: is running on the phone; `pocketllm device attach` follows it")
    if answer.code:
        said = answer.output.strip().splitlines()
        raise RunError(f"{name}: cannot be started on the phone ({said[-1] if said else 'no pid'})")


def look(phone: Phone, name: str, out: int, err: int) -> Look:
    """Asks how a job is doing.

    Args:
      phone: where it runs.
      name: the job's.
      out: bytes of its output that are known already.
      err: the same of its stderr.
    """
    asked = script(ALIVE, LOOK, job=job_folder(name), out=out, err=err, most=READ_BYTES)
    answer = checked(phone, asked, name).encode(errors="surrogateescape")
    first, _, rest = answer.partition(b"\n")
    state, _, code = first.decode().partition(" ")
    if state == NONE:
        return Look(NONE, 0, b"", b"")
    out_bytes, err_bytes, printed = rest.split(b"\n", 2)
    end = int(out_bytes)
    return Look(state, int(code or 0), printed[:end], printed[end : end + int(err_bytes)])


def check_stopped(phone: Phone, name: str, trouble: str) -> None:
    """Raises InputError, which begins with `trouble`, while a job runs."""
    asked = script(ALIVE, '[ ! -e "$job/exit" ] && alive && echo yes; true', job=job_folder(name))
    if "yes" in checked(phone, asked, name):
        raise InputError(f"{trouble}; stop it (Ctrl-C in `pocketllm device attach`), or wait")


def stop(phone: Phone, name: str) -> None:
    """Asks a job to end after the step under way, as Ctrl-C does on the desktop."""
    kill = 'alive && kill -TERM "$(cat "$job/pid")"; true'
    checked(phone, script(ALIVE, kill, job=job_folder(name)), name)


def job_names(phone: Phone) -> list[str]:
    """Returns the jobs that the phone knows, the latest first."""
    names = script('ls -t "$jobs" 2>/dev/null; true', jobs=job_folder(""))
    return checked(phone, names, "jobs").splitlines()
