"""All of it, on the loopback device with the real image: aarch64 programs, run by QEMU."""

import json
import re

import numpy as np
import phone as emulated
import pytest
from device_cases import device, fill, start_device, wait_for_line
from loopback import loopback
from small_runs import mezo_steps, pocketllm
from waiting import wait_until

from pocketllm.android_harness.phone.paths import HOME
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.journal.lines import METRICS
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.replay import replay

pytestmark = pytest.mark.desktop  # the workstation's side
STEPS, RUN = 20, "run; rm -rf *"
LOSS_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("end to end")


@pytest.fixture(scope="module")
def bundle(folder):
    """roberta-micro for two short rows at a time: the emulated processor is slow."""
    out = folder / "micro's bundle"
    settings = ["--model=roberta-micro", "--task=sst2", "--batch_size=2", "--lengths=16"]
    done = pocketllm("export", *settings, f"--out={out}")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def data(folder):
    path = folder / "it's my data.tsv"
    rows = ["a good film\t1", "a dull film\t0", "great\t1", "so bad\t0"]
    path.write_text("\n".join(["sentence\tlabel", *rows, ""]))
    return path


@pytest.fixture(scope="module")
def phone(folder, bundle):
    """A device with the image and the bundle."""
    image = emulated.make_image(folder / "image")
    with loopback(folder / "device", data_size="400m") as phone:
        (phone.control / "battery").write_text("  level: 83\n  temperature: 317\n  status: 2\n")
        done = device(phone, "push", f"--image={image}", f"--bundle={bundle}")
        assert done.returncode == 0, done.stderr
        yield phone


def train(bundle, data, run, *more):
    return [
        "train", f"--bundle={bundle}", f"--train={data}", f"--run={run}", f"--steps={STEPS}",
        "--batch_size=2", "--lr=1e-4", "--threads=1", *more,
    ]  # fmt: skip


def steps_of(phone, run):
    """Returns how many steps a run on the device has taken."""
    return int(phone.sh(f"cat {HOME}/runs/{run}/{METRICS} 2>/dev/null | wc -l"))


def wait_for_step(phone, run, after=0):
    """Waits until a run on the device has taken a step more than `after`."""
    wait_until(lambda: steps_of(phone, run) > after, "a step of the run")


def test_the_doctor_starts_the_image(phone):
    done = device(phone, "doctor")

    assert done.returncode == 0, done.stderr
    assert "ok   image: runs" in done.stdout


@pytest.fixture(scope="module")
def pulled(phone, bundle, data, folder):
    """A run on the device whose cable was pulled in the middle, followed again, and pulled."""
    run = RUN
    often = "--recovery_seconds=0"  # snapshots, to compare with a replay
    process = start_device(phone, *train(bundle, data, run, "--reconnect_seconds=0", often))
    wait_for_line(process, "engine: ")
    phone.unplug()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "goes on on the phone" in errors
    phone.plug_in()
    attached = device(phone, "attach", f"--run={run}")
    assert attached.returncode == 0, attached.stderr
    assert re.search(rf"runs/{re.escape(run)}: {STEPS} steps", attached.stdout)
    out = folder / "pulled run"
    done = device(phone, "pull", f"--run={run}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    return out


def test_the_run_comes_back_without_data_and_with_what_the_phone_measured(pulled, data, phone):
    names = {path.name for path in pulled.iterdir()}
    assert phone.sh(f"find {HOME} -perm /077") == "", "files are their owner's alone"
    assert names == {"config.json", "journal", "machine.json", "metrics.jsonl"}
    for path in pulled.iterdir():
        assert b"dull" not in path.read_bytes()
    first = json.loads((pulled / "metrics.jsonl").read_text().splitlines()[0])
    assert (first["battery_percent"], first["battery_celsius"]) == (83, 31.7)
    assert first["charging"] is True and first["pss_bytes"] > 1e6
    machine = json.loads((pulled / "machine.json").read_text())["sessions"][0]
    assert machine["system"].endswith("aarch64")


def test_the_phones_losses_are_those_of_here(pulled, bundle, data, tmp_path):
    done = pocketllm(*train(bundle, data, tmp_path / "here"))
    assert done.returncode == 0, done.stderr

    ours, theirs = mezo_steps(tmp_path / "here"), mezo_steps(pulled)

    assert [step.seed for step in theirs] == [step.seed for step in ours]
    assert len(theirs) == STEPS == len(read_journal(pulled / JOURNAL).steps)
    for field in ("loss_plus", "loss_minus"):
        expected = [getattr(step, field) for step in ours]
        actual = [getattr(step, field) for step in theirs]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=LOSS_TOLERANCE)


def test_the_run_is_replayed_here(pulled, bundle, tmp_path):
    done = pocketllm(
        "replay", f"--bundle={bundle}", f"--run={pulled}", f"--out={tmp_path / 'checkpoint'}"
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint" / "model.safetensors").stat().st_size > 1e6


def test_the_phones_parameters_are_those_of_a_replay_here_in_every_bit(
    phone, pulled, bundle, tmp_path
):
    folder = f"{HOME}/runs/{RUN}"
    snapshots = phone.sh(f"cd '{folder}'; ls parameters-*.npz").split()
    path = tmp_path / snapshots[-1]
    assert phone.adb("pull", f"{folder}/{path.name}", str(path)).returncode == 0
    step = int(path.stem.removeprefix("parameters-"))
    assert step > 1

    model = open_model(read_bundle(bundle), threads=1)
    model.initialize()
    before = {name: values.copy() for name, values in model.read()}
    replay(model, read_journal(pulled / JOURNAL).steps[:step])

    with np.load(path) as theirs:
        for name, ours in model.read():
            assert ours.tobytes() == theirs[name].tobytes(), name
            assert ours.tobytes() != before[name].tobytes(), f"{name}: {step} steps move it"


def test_evaluating_there_gives_what_it_gives_here(phone, pulled, bundle, data, tmp_path):
    there = device(
        phone, "eval", f"--bundle={bundle}", f"--data={data}", "--run=run; rm -rf *",
        "--threads=1", f"--json={tmp_path / 'there'}",
    )  # fmt: skip
    here = pocketllm(
        "eval", f"--bundle={bundle}", f"--data={data}", f"--run={pulled}", "--threads=1",
        f"--json={tmp_path / 'here'}",
    )  # fmt: skip

    assert (there.returncode, here.returncode) == (0, 0), there.stderr + here.stderr
    theirs, ours = (json.loads((tmp_path / name).read_text()) for name in ("there", "here"))
    assert theirs["accuracy"] == ours["accuracy"]
    assert theirs["loss"] == pytest.approx(ours["loss"], abs=LOSS_TOLERANCE)


def test_an_error_there_is_an_error_here(phone, bundle, tmp_path):
    (tmp_path / "bad.tsv").write_text("sentence\tlabel\nfine\tmaybe\n")

    there = device(phone, *train(bundle, tmp_path / "bad.tsv", "bad"))
    here = pocketllm(*train(bundle, tmp_path / "bad.tsv", tmp_path / "bad"))

    assert there.returncode == here.returncode == 2
    message = here.stderr.partition(" error: ")[2].partition("bad.tsv")[2]
    assert message and there.stderr.endswith(message)


def test_the_bench_measures_there(phone, bundle, tmp_path):
    done = device(
        phone, "bench", f"--bundle={bundle}", "--batch_sizes=1", "--seq_len=16", "--steps=1",
        "--threads=1", "--sgemm_size=64", f"--json={tmp_path / 'j'}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "on Loopback; sgemm " in done.stdout and "step, s" in done.stdout
    ours = json.loads((tmp_path / "j").read_text())["batches"][0]["ours"]
    assert ours["summary"]["step_seconds"] > 0 and np.isfinite(ours["first_loss"])


def test_it_waits_for_a_battery_says_when_the_phone_is_full_goes_on_and_ctrl_c_ends_it(
    phone, bundle, data, tmp_path
):
    """With `pocketllm train` itself, and the phone's clock in 1970."""
    battery = phone.control / "battery"
    battery.rename(battery.with_suffix(".away"))
    (phone.control / "seconds").write_text("86400\n")
    more = ("--steps=2000", "--min_battery=30", f"--json={tmp_path / 'j'}")
    process = start_device(phone, *train(bundle, data, "stopped", *more))
    wait_for_line(process, "paused: --min_battery: this device does not tell")
    assert steps_of(phone, "stopped") == 0
    battery.with_suffix(".away").rename(battery)
    wait_for_step(phone, "stopped")
    fill(phone)
    _, full = process.communicate(timeout=60)
    looked_at = device(phone, "attach", "--run=stopped")
    phone.sh("rm /data/filler")
    before = steps_of(phone, "stopped")
    again = start_device(phone, *train(bundle, data, "stopped", *more))
    wait_for_step(phone, "stopped", before)  # stopped before its first it would be "interrupted"
    again.terminate()
    output, errors = again.communicate(timeout=60)
    (phone.control / "seconds").unlink()

    for code, text in ((process.returncode, full), (looked_at.returncode, looked_at.stderr)):
        assert code == 1 and "`pocketllm device clean` makes room" in text.splitlines()[-1]
    assert again.returncode == 0, errors
    result = json.loads((tmp_path / "j").read_text())
    assert result["stopped"] is True and before < result["last_step"] < 2000
    assert "the same command goes on from there" in output
