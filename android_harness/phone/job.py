"""Jobs: detached commands on the phone, which go on when the cable is pulled.

A job's folder holds `out` and `err`, its output; `pid`, its process; `waiter`, the shell that waits
for that process and writes `exit`, its exit code; `keeper`, the shell that holds the phone's wake
lock meanwhile; `result`, its --json file. Whichever of the three ends first, the others go on.
Looking at a job writes nothing: a full phone can be looked at, and by any number at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from pocketllm.runtime.errors import InputError, RunError

from .adb import ConnectionLost, Phone, check_output, shell
from .paths import HOME, LAUNCHER, job_folder, script
from .space import full_remedy

RUNNING, ENDED, LOST, NONE = "running", "ended", "lost", "none"
READ_BYTES = 256 << 10  # of stdout and of stderr, in one look
BUSY = 3  # exit code of START
FOLLOWS = "`pocketllm device attach` follows"
MODULE = "POCKETLLM_MODULE"
WAKE_LOCK = "/sys/power/wake_lock"
# The command line is checked because a restarted phone gives the process id to another program;
# the zeros between its words are replaced because toybox's grep stops at a zero.
ALIVE = """
ours() {
    tr '\\0' ' ' <"/proc/$(cat "$job/$1")/cmdline" | grep -q pocketllm
} 2>/dev/null
running() {
    [ ! -e "$job/exit" ] && { ours pid || ours waiter || ours keeper; }
}
"""
# The small files get their room first and are written in place: so they can be on a full phone.
# A wake lock is taken for 5 minutes each minute: nobody need release that of a keeper that died.
START = """
running && exit 3
new=${job%/*}/.new-${job##*/}
rm -rf "$new" && mkdir -p "$new" && cd "$home" || exit 1
for name in keeper waiter pid exit; do
    echo "










" >"$new/$name.partial" && [ -s "$new/$name.partial" ] || { rm -rf "$new"; exit 1; }
done
rm -rf "$job" && mv "$new" "$job" || exit 1
job=$job wake=$wake nohup setsid sh -c '
    trap "" HUP
    put() {
        echo "$2" 1<>"$job/$1.partial"
        mv "$job/$1.partial" "$job/$1"
    }
    put keeper $$
    (
        "$@" >"$job/out" 2>"$job/err" </dev/null &
        put pid $!
        wait $!
        put exit $?
    ) &
    waiter=$!
    put waiter $waiter
    works() { [ ! -e "$job/exit" ] && kill -0 "$(cat "$job/pid")"; } 2>/dev/null
    until [ -e "$job/pid" ]; do sleep 0.1; done
    [ ! -w "$wake" ] || while works; do
        echo "pocketllm-$$ 300000000000" >"$wake"
        sleep 60
    done &
    wait $waiter
    while works; do sleep 2; done
    [ ! -w "$wake" ] || echo "pocketllm-$$" >"${wake%lock}unlock"
' job "$@" </dev/null >/dev/null 2>&1 &
tries=0
until [ -e "$job/pid" ] && [ -e "$job/waiter" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || exit 1
    sleep 0.1
done
"""
# The state is read before the output: of a job that has ended, all output is then complete.
# A process whose waiter was killed leaves no exit code, and its result if it ended well.
LOOK = """
new_bytes() {
    count=$(($(stat -c %s "$1" || echo 0) - $2))
    [ "$count" -le "$most" ] || count=$most
    [ "$count" -ge 0 ] || count=0
    echo "$count"
}
new() {
    [ "$3" = 0 ] || tail -c "+$(($2 + 1))" "$1" | head -c "$3"
}
exec 2>/dev/null  # some phones' programs complain of the phone
cd "$job" || { echo none; exit 0; }
if [ -e exit ]; then echo "ended $(cat exit)"
elif running; then echo running
elif [ -e exit ]; then echo "ended $(cat exit)"
elif [ -s result ]; then echo "ended 0"
else echo lost; fi
out_bytes=$(new_bytes out "$out")
err_bytes=$(new_bytes err "$err")
echo "$out_bytes"
echo "$err_bytes"
new out "$out" "$out_bytes"
new err "$err" "$err_bytes"
"""


@dataclass(frozen=True)
class Look:
    """A job's state and new output.

    Attributes:
      state: RUNNING, ENDED, LOST (no process and no exit code: the phone was restarted, or killed
        the keeper too) or NONE (no such job).
      code: the exit code if ENDED, None if the phone could not write it; else 0.
      out: bytes of stdout behind those that the caller had.
      err: the same of stderr.
    """

    state: str
    code: int | None
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
      ConnectionLost: the phone is gone, and the job may have started.
    """
    words = " ".join(quote(word) for word in [LAUNCHER, *arguments])
    start_script = script(
        *(f"export {variable}={quote(value)}" for variable, value in variables.items()),
        f"set -- {words}",
        ALIVE,
        START,
        job=job_folder(name),
        home=HOME,
        wake=WAKE_LOCK,
    )
    try:
        answer = shell(phone, start_script)
    except ConnectionLost as error:
        raise ConnectionLost(f"{error}; {FOLLOWS} it if it has begun") from error
    if answer.code == BUSY:
        raise InputError(f"{name}: is running on the phone; {FOLLOWS} it")
    if answer.code:
        lines = answer.output.strip().splitlines()
        why = lines[-1] if lines else "no pid"
        raise RunError(f"{name}: cannot be started on the phone ({why}){full_remedy(phone, why)}")


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
    number = (int(code) if code.isdecimal() else None) if state == ENDED else 0
    return Look(state, number, output[:end], output[end : end + int(err_bytes)])


def running_jobs(phone: Phone, name: str | None = None) -> list[str]:
    """Returns the names of the jobs that run on the phone; of one job, with its `name`."""
    folders = f'"$jobs"/{quote(name) if name else "*"}'
    lines = (
        f"for job in {folders}; do",
        '    if [ -d "$job" ] && running; then echo "${job##*/}"; fi',
        "done",
    )
    return check_output(phone, script(ALIVE, *lines, jobs=job_folder("")), "jobs").splitlines()


def check_stopped(phone: Phone, name: str | None = None) -> None:
    """Raises InputError while a job of this name runs; without a name, while any job runs."""
    if names := running_jobs(phone, name):
        raise InputError(
            f"{names[0]}: is running on the phone; stop it (Ctrl-C in `pocketllm device attach`), "
            "or wait"
        )


def stop(phone: Phone, name: str) -> None:
    """Sends a job SIGTERM: it ends after the step under way, as with Ctrl-C on the desktop."""
    kill = 'ours pid && kill -TERM "$(cat "$job/pid")"; true'
    check_output(phone, script(ALIVE, kill, job=job_folder(name)), name)


def job_names(phone: Phone) -> list[str]:
    """Returns the names of the jobs on the phone, the one that was started last first."""
    # The time of `pid` is that of the start; a folder without one comes last.
    names = 'cd "$jobs" 2>/dev/null || exit 0; { ls -t -- */pid; ls -t; } 2>/dev/null; true'
    lines = check_output(phone, script(names, jobs=job_folder("")), "jobs").splitlines()
    return list(dict.fromkeys(line.removesuffix("/pid") for line in lines))
