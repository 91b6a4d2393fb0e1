"""`pocketllm export --model=OWNER/NAME` from outside."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest
from hub_server import Fault, Repo, hub_server
from small_runs import pocketllm
from waiting import wait_until

from pocketllm.runtime.bundle.manifest import read_bundle

pytestmark = pytest.mark.desktop

COMMIT = "c0ffee0123456789abcdef0123456789abcdef01"
SMALL = ("--task=sst2", "--lengths=8", "--batch_size=2")


@pytest.fixture
def hub(make_checkpoint, tmp_path):
    """A Hub with a tiny RoBERTa, and the environment of a process that asks it."""
    files = {path.name: path.read_bytes() for path in make_checkpoint().iterdir()}
    with hub_server() as server:
        server.repos["some/tiny"] = Repo({COMMIT: files}, refs={"v1": COMMIT})
        environment = {
            "HF_ENDPOINT": server.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": "",
        }
        yield server, environment


def export(environment, *flags):
    return pocketllm("export", *SMALL, *flags, timeout=300, **environment)


def test_a_bundle_of_a_hub_name_says_where_it_is_from(hub, tmp_path):
    server, environment = hub
    out, again = tmp_path / "out", tmp_path / "again"

    done = export(environment, "--model=some/tiny", "--revision=v1", f"--out={out}")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"some/tiny, commit {COMMIT}\n")
    assert [line for line in done.stderr.splitlines() if "writing" not in line] == []
    bundle = read_bundle(out)
    assert (bundle.model_name, bundle.model_commit) == ("some/tiny", COMMIT)
    assert json.loads((out / "source.json").read_text())["name"] == "some/tiny"
    assert f"commit      {COMMIT} on the Hub\n" in pocketllm("inspect", f"--bundle={out}").stdout

    server.requests.clear()
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    done = export(offline, "--model=some/tiny@v1", f"--out={again}")

    assert done.returncode == 0, done.stderr
    assert server.requests == []
    assert read_bundle(again).checksum == bundle.checksum
    assert (again / "model.tflite").read_bytes() == (out / "model.tflite").read_bytes()


@pytest.mark.parametrize(
    ("flags", "fault", "code", "text"),
    [
        (["--model=some/tinny"], None, 2, "did you mean some/tiny?"),
        (["--model=some/tiny", "--revision=v2"], None, 2, "--revision=v2: no branch, tag or"),
        (["--model=some/tiny"], Fault("/api/", 429), 1, "limits the rate of requests (429)"),
        (["--model=some/tiny"], Fault("GET.*vocab.json", cut=9), 1, "broke off at vocab.json"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_no_bundle(flags, fault, code, text, hub, tmp_path):
    server, environment = hub
    server.faults += [fault] if fault else []

    done = export(environment, *flags, f"--out={tmp_path / 'out'}")

    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, "")
    assert line.startswith("pocketllm export: error: ") and text in line
    assert not (tmp_path / "out").exists()


def test_out_is_refused_before_anything_is_downloaded(hub, tmp_path):
    server, environment = hub
    (tmp_path / "out").mkdir()

    done = export(environment, "--model=some/tiny", f"--out={tmp_path / 'out'}")

    assert done.returncode == 2 and "exists already" in done.stderr
    assert server.requests == []


def test_a_model_that_is_not_known_is_refused_without_its_weights(hub, tmp_path):
    server, environment = hub
    files = server.repos["some/tiny"].commits[COMMIT]
    files["config.json"] = json.dumps({"model_type": "mamba"}).encode()

    done = export(environment, "--model=some/tiny", f"--out={tmp_path / 'out'}")

    assert done.returncode == 2 and "mamba" in done.stderr
    assert "model.safetensors" not in server.files() and "config.json" in server.files()


def test_a_terminal_sees_one_bar(hub, tmp_path):
    """The weights that the terminal waits for are a file that the Hub does not have whole."""
    server, environment = hub
    server.repos["some/tiny"].commits[COMMIT]["config.json"] = b'{"model_type": "mamba"}'
    main, second = pty.openpty()
    fcntl.ioctl(second, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "export", *SMALL]
    command += ["--model=some/tiny", f"--out={tmp_path / 'out'}"]

    with subprocess.Popen(command, stderr=second, env=os.environ | environment) as process:
        os.close(second)
        shown = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(main)

    assert process.returncode == 2
    text = shown.decode()
    assert "downloading:   0%|" in text and "Fetching" not in text
    assert {line.split(":")[0].strip() for line in text.split("\r") if "%|" in line} == {
        "downloading"
    }


def test_an_interrupt_ends_a_download_at_once(hub, tmp_path):
    server, environment = hub
    server.faults.append(Fault("GET.*vocab.json", stall=True))
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "export", *SMALL]
    command += ["--model=some/tiny", f"--out={tmp_path / 'out'}"]

    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        wait_until(lambda: "vocab.json" in server.files(), "a request for vocab.json")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)

    assert (process.returncode, error) == (130, "pocketllm export: error: interrupted\n")


def test_importing_the_exporter_asks_no_one(hub):
    server, environment = hub
    code = "import pocketllm.export as e, pocketllm.export.sources.hub, transformers;e.export"

    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, timeout=120)

    assert done.returncode == 0 and server.requests == []
