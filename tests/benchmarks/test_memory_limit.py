"""Commands under a hard memory limit: what ran out of it, and what failed for another reason."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from memory_cgroup import CGROUP
from waiting import wait_until

from pocketllm.benchmarks.isolation.cgroup import FILES, V1, V2, Cgroup, limited_cgroup
from pocketllm.benchmarks.isolation.memory_limit import DATA, run_limited

LIMIT = 200_000_000
ALLOCATE = "block = bytearray(b'1') * {}; print('it fits')"
# Ends without a word for want of memory, as LiteRT does.
SILENT = """
import os
try:
    block = bytearray(300_000_000)
except BaseException:
    os.kill(os.getpid(), 11)
"""


needs_cgroup = pytest.mark.skipif(CGROUP is None, reason="no memory cgroup can be made here")
kinds = pytest.mark.parametrize("kind", [pytest.param("cgroup", marks=needs_cgroup), DATA])


def limited(tmp_path, kind, code, **settings):
    """Runs Python code under LIMIT."""
    command = [sys.executable, "-c", code]
    log = tmp_path / "log.txt"
    outcome = run_limited(command, LIMIT, log, cgroup_allowed=kind != DATA, **settings)
    assert (outcome.kind, outcome.limit_bytes) == (CGROUP if kind != DATA else DATA, LIMIT)
    return outcome, log.read_text()


@kinds
def test_a_process_that_allocates_too_much_ran_out_of_memory(kind, tmp_path):
    outcome, output = limited(tmp_path, kind, ALLOCATE.format(300_000_000))

    assert outcome.out_of_memory and "it fits" not in output
    if kind == DATA:
        assert (outcome.ended.returncode, outcome.peak_bytes) == (1, None)
        assert "MemoryError" in output and "once more" not in output
    else:
        assert outcome.ended.returncode == -signal.SIGKILL
        assert 0.99 * LIMIT < outcome.peak_bytes <= LIMIT


@kinds
def test_a_process_that_fits_does_not(kind, tmp_path):
    lines = []
    outcome, output = limited(tmp_path, kind, ALLOCATE.format(100_000_000), say=lines.append)

    assert (outcome.ended.returncode, outcome.out_of_memory) == (0, False)
    assert lines == ["it fits"] and output == "it fits\n"
    assert outcome.ended.peak_rss_bytes > 100_000_000
    if kind != DATA:
        assert 100_000_000 < outcome.peak_bytes < LIMIT


@kinds
@pytest.mark.parametrize(
    ("code", "returncode"),
    [
        ("raise ValueError('wrong')", 1),
        ("import sys; sys.exit(2)", 2),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_a_process_that_fails_otherwise_did_not_run_out(kind, code, returncode, tmp_path):
    outcome, output = limited(tmp_path, kind, code)

    assert (outcome.ended.returncode, outcome.out_of_memory) == (returncode, False)
    assert ("wrong" in output) == ("wrong" in code)


def test_one_that_dies_without_a_word_is_tried_with_twice_the_memory(tmp_path):
    resets = []
    outcome, output = limited(tmp_path, DATA, SILENT, reset=lambda: resets.append(1))

    assert outcome.out_of_memory and outcome.ended.returncode == -signal.SIGSEGV
    assert "killed by SIGSEGV, nothing said of memory; once more with 400000000 bytes" in output
    assert len(resets) == 2


@pytest.mark.parametrize(
    "message",
    [
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9. GiB",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8388608 bytes",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes",
        "pocketllm train: error: out of memory; free some, or take a smaller model",
        "memory allocation of 128 bytes failed",
    ],
)
def test_what_libraries_say_of_failed_allocations_is_understood(message, tmp_path):
    code = f"import sys; print({message!r}, file=sys.stderr); sys.exit(1)"

    assert limited(tmp_path, DATA, code)[0].out_of_memory


@needs_cgroup
def test_a_cgroup_goes_with_its_command_and_one_of_a_killed_command_with_the_next(tmp_path):
    code = (
        "import os\nfrom pocketllm.benchmarks.isolation.cgroup import limited_cgroup\n"
        "with limited_cgroup(10**9) as cgroup:\n    print(cgroup.folder, flush=True)\n"
        "    os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert left.is_dir()

    with limited_cgroup(LIMIT) as cgroup:
        assert not left.exists()
        assert int((cgroup.folder / FILES[cgroup.kind].limit).read_text()) <= LIMIT
    assert not cgroup.folder.exists()


@kinds
def test_the_command_dies_with_whoever_started_it(kind, tmp_path):
    log, pid = tmp_path / "log.txt", tmp_path / "pid"
    inner = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "from pocketllm.benchmarks.isolation.memory_limit import run_limited\nimport sys\n"
        f"run_limited([sys.executable, '-c', {inner!r}], {LIMIT}, {str(log)!r}, "
        f"cgroup_allowed={kind != DATA})"
    )
    starter = subprocess.Popen([sys.executable, "-c", code])
    command = int(wait_until(lambda: pid.exists() and pid.read_text(), "the command's start"))
    starter.kill()
    starter.wait()

    wait_until(lambda: not _lives(command), "the command's end")


EVENTS = {
    V1: "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n",
    V2: "low 0\nhigh 0\nmax 31\noom 3\noom_kill {}\noom_group_kill 0\n",
}


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize(
    ("kills", "peak", "ran_out"),
    [(2, 998_000, True), (2, 980_000, False), (0, 998_000, False), (2, None, True)],
)
def test_a_kill_below_the_limit_is_the_machines_not_the_cgroups(
    kind, kills, peak, ran_out, tmp_path
):
    (tmp_path / FILES[kind].events).write_text(EVENTS[kind].format(kills))
    if peak:
        (tmp_path / FILES[kind].peak).write_text(f"{peak}\n")
    cgroup = Cgroup(kind, tmp_path, limit_bytes=1_000_000)

    assert (cgroup.ran_out(), cgroup.peak_bytes()) == (ran_out, peak)


def test_without_any_cgroup_none_is_made(tmp_path):
    with limited_cgroup(LIMIT, root=tmp_path) as cgroup:
        assert cgroup is None
    assert list(tmp_path.iterdir()) == []


def _lives(pid):
    """Says whether a process runs; one that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
