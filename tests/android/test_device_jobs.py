"""Detached commands: followed, attached to, stopped, and their ends; a stand-in trains."""

import json
import os
import signal
import time

import pytest
from device_cases import (
    device,
    files_on,
    let_end,
    let_run,
    stand_in_image,
    start_device,
    wait_for_line,
)
from loopback import loopback
from small_runs import complaint, rows, write_tsv

from pocketllm.android_harness.phone.paths import HOME

pytestmark = pytest.mark.desktop  # the workstation's side
pytest_plugins = ["runtime_fixtures"]
BUNDLE = "tiny"


def of(*features):
    """A test of devices with these features of adbd."""
    names = ["shell v2" if "shell_v2" in feature else "shell v1" for feature in features]
    return pytest.mark.parametrize("phone", features, ids=names, indirect=True, scope="module")


new_device, new_and_old_device = of("shell_v2,cmd"), of("shell_v2,cmd", "cmd")


@pytest.fixture(scope="module")
def phone(request, tmp_path_factory, golden_bundle):
    """A device, a new and an old one, with the stand-in image and a bundle."""
    folder = tmp_path_factory.mktemp("jobs")
    image = stand_in_image(folder / "image")
    with loopback(folder / "device", "64m", request.param) as phone:
        done = device(phone, "push", f"--image={image}", f"--bundle={golden_bundle.folder}")
        assert done.returncode == 0, done.stderr
        yield phone


@pytest.fixture
def data(tmp_path):
    """Training data with a name that a shell must not read."""
    return write_tsv(tmp_path / 'it\'s; touch $(x) `y` "z".tsv', rows(8, 0))


@pytest.fixture(autouse=True)
def nothing_runs(phone):
    """Each test starts and ends with no job running."""
    let_run(phone)
    yield
    let_end(phone)
    phone.sh(f"for pid in $(cat {HOME}/jobs/*/pid); do kill -9 $pid; done 2>/dev/null")


def train(data, run="a run's name", *more):
    return ["train", f"--bundle=x/{BUNDLE}", f"--run={run}", "--steps=9", f"--train={data}", *more]


@new_and_old_device
def test_output_flags_and_result_come_back_and_no_name_is_read_by_a_shell(phone, data, tmp_path):
    let_end(phone)

    done = device(phone, *train(data, "r", "--lr=1e-4", f"--json={tmp_path / 'j'}"))

    assert (done.returncode, done.stderr) == (0, "")
    given = [line[7:] for line in done.stdout.splitlines() if line.startswith("given: ")]
    assert given[:2] == ["train", f"--bundle={HOME}/bundles/{BUNDLE}"]
    assert given[2].startswith(f"--train={HOME}/data/") and given[2].endswith(f"/{data.name}")
    assert f"--run={HOME}/runs/r" in given
    assert {"--steps=9", "--lr=0.0001"} <= set(given)
    result = json.loads((tmp_path / "j").read_text())
    assert result == {"stopped": False, "steps": 0, "serial": phone.serial, "job": "train-r"}
    assert phone.sh(f'cat "{HOME}"/data/*/*').replace("\r", "") == data.read_text()


@new_and_old_device
@pytest.mark.parametrize("code", [1, 2])
def test_exit_codes_and_complaints_are_the_devices(phone, data, code):
    let_end(phone, code)

    complaint(device(phone, *train(data)), code, f"the data is bad: it's code {code}")


@new_device
def test_a_command_that_was_killed_says_what_for(phone, data):
    process = start_device(phone, *train(data))
    wait_for_line(process, "step 3 ")
    phone.sh(f"kill -9 $(cat {HOME}/jobs/*/pid)")
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "killed on the phone (signal 9)" in errors.splitlines()[-1]


@new_and_old_device
def test_it_goes_on_without_the_cable_and_comes_back_by_itself(phone, data):
    process = start_device(phone, *train(data))
    wait_for_line(process, "step 2 ")
    phone.unplug()
    time.sleep(1.5)
    phone.plug_in()
    let_end(phone)
    # Not communicate(): that forgets what was read ahead with the line.
    output, errors = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)

    assert process.returncode == 0, errors
    assert "connection was lost" in errors and "is back" in errors
    steps = [int(line.split()[1]) for line in output.splitlines() if line.startswith("step ")]
    assert steps == list(range(3, 3 + len(steps))), "no line is lost or doubled"
    assert len(steps) > 8, "it went on meanwhile"


@new_device
def test_a_cable_that_stays_away_is_said_and_attach_picks_it_up(phone, data):
    process = start_device(phone, *train(data, "away", "--reconnect_seconds=1"))
    wait_for_line(process, "step 2 ")
    phone.unplug()
    _, errors = process.communicate(timeout=30)
    phone.plug_in()
    follower = start_device(phone, "attach", "--run=away")
    wait_for_line(follower, "step 12 ")
    let_end(phone)
    follower.communicate(timeout=30)

    assert process.returncode == 1
    assert "goes on on the phone, `pocketllm device attach`" in errors.splitlines()[-1]
    assert follower.returncode == 0


@new_device
def test_attach_follows_what_a_killed_workstation_left(phone, data):
    process = start_device(phone, *train(data))
    wait_for_line(process, "step 2 ")
    process.kill()
    process.communicate()
    busy = device(phone, *train(data))
    follower = start_device(phone, "attach")
    wait_for_line(follower, "step 1 ")  # from the beginning
    let_end(phone, 2)
    _, errors = follower.communicate(timeout=30)

    complaint(busy, 2, "is running", "attach")
    assert follower.returncode == 2
    assert "it's code 2" in errors


@new_and_old_device
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_device_and_shows_its_end(phone, data, number, tmp_path):
    process = start_device(phone, *train(data, "stop", f"--json={tmp_path / 'j'}"))
    wait_for_line(process, "step 2 ")
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert "stopping after the step under way" in errors
    assert json.loads((tmp_path / "j").read_text())["stopped"] is True


@new_device
def test_a_second_ctrl_c_leaves_at_once(phone, data):
    process = start_device(phone, *train(data))
    wait_for_line(process, "step 2 ")
    phone.unplug()  # so that the device cannot end first
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    phone.plug_in()

    assert process.returncode == 130
    assert "interrupted" in errors.splitlines()[-1]


@new_device
def test_a_restarted_phone_is_not_taken_for_a_running_job(phone, data):
    process = start_device(phone, *train(data))
    wait_for_line(process, "step 3 ")
    # All of it at once, as a restart does; the number becomes another process's.
    phone.sh(
        f"cd {HOME}/jobs/*name && kill -9 $(cat keeper pid)"
        "; rm -f exit; setsid sleep 60 >/dev/null 2>&1 </dev/null & echo $! > new"
        "; mv new keeper"
    )
    _, errors = process.communicate(timeout=30)
    let_end(phone)

    assert process.returncode == 1 and "restarted" in errors.splitlines()[-1]
    assert device(phone, *train(data)).returncode == 0


@new_device
def test_data_on_the_phone_is_used_there_and_never_sent(phone, tmp_path):
    let_end(phone)
    there = "/sdcard/my notes.tsv"
    phone.sh(f'echo x > "{there}"')
    phone.sh(f"rm -rf {HOME}/data")
    command = ["train", f"--bundle={BUNDLE}", "--run=r", "--steps=1"]

    done = device(phone, *command, f"--device_data={there}", f"--device_dev={there}")
    none = device(phone, *command, "--device_data=/sdcard/none.tsv")
    both = device(phone, *command, f"--device_data={there}", "--train=x")

    assert done.returncode == 0, done.stderr
    assert f"given: --train={there}" in done.stdout and f"given: --dev={there}" in done.stdout
    assert phone.sh(f"ls {HOME}/data 2>/dev/null") == ""
    complaint(none, 2, "/sdcard/none.tsv", "no such file")
    complaint(both, 2, "--train and --device_data")


@new_device
def test_what_was_not_pushed_is_named_with_the_command(phone, data):
    command = ["train", "--bundle=other", "--run=r", "--steps=1", f"--train={data}"]

    complaint(device(phone, *command), 2, "bundles/other", "device push --bundle=other")
    complaint(device(phone, "attach", "--run=none"), 2, "train-none", "nothing was started")
    complaint(device(phone, *train(data, "..")), 2, "--run='..'", "cannot be a name")
    complaint(
        device(phone, *train("none.tsv")), 2, "--train=none.tsv", "no such file", "--device_data"
    )


@new_device
def test_eval_is_a_job_too(phone, data):
    let_end(phone)

    done = device(phone, "eval", f"--bundle={BUNDLE}", f"--data={data}", "--run=r", "--sample=3")

    assert done.returncode == 0, done.stderr
    for given in ("eval", "--sample=3", f"--run={HOME}/runs/r"):
        assert f"given: {given}\n" in done.stdout


@new_and_old_device
def test_cleaning_takes_what_it_is_told_and_nothing_else(phone, data, tmp_path):
    let_end(phone)
    for run in ("it's old", "new"):
        assert device(phone, *train(data, run)).returncode == 0
        phone.sh(f'mkdir -p "{HOME}/runs/{run}"; echo x > "{HOME}/runs/{run}/journal"')
    before = set(files_on(phone))

    done = device(phone, "clean", "--data", "--run=it's old", f"--json={tmp_path / 'j'}")

    assert (done.returncode, done.stderr) == (0, "")
    gone = before - set(files_on(phone))
    assert {path.split("/")[1] for path in gone} == {"data", "runs", "jobs"}
    assert all("it's old" in path for path in gone if not path.startswith("./data/"))
    assert not any(path.startswith("./data/") for path in files_on(phone))
    assert "./runs/new/journal" in files_on(phone)
    freed = json.loads((tmp_path / "j").read_text())["freed_bytes"]
    assert freed[f"{HOME}/data"] >= len(data.read_bytes())  # and the folder's manifest
    complaint(device(phone, "clean", "--run=it's old"), 2, "runs/it's old", "on the phone")
    complaint(device(phone, "clean"), 2, "nothing to remove", "--all")


@new_device
def test_nothing_is_removed_under_a_command_that_runs(phone, data):
    process = start_device(phone, *train(data))
    wait_for_line(process, "step 2 ")

    complaint(device(phone, "clean", "--data"), 2, "is running on the phone", "attach")

    let_end(phone)
    process.communicate(timeout=30)
    assert process.returncode == 0
