"""Several jobs on one phone: what is removed, what is not, and the shells that watch them."""

import json
import time

import pytest
from device_cases import (
    device,
    files_on,
    let_end,
    new_and_old_device,
    new_device,
    run_training,
    start_device,
    start_training,
    wait_for_line,
)
from small_runs import complaint
from waiting import wait_until

from pocketllm.android_harness.phone.paths import HOME

# The workstation's side.
pytestmark = [pytest.mark.desktop, pytest.mark.usefixtures("nothing_runs")]
pytest_plugins = ["runtime_fixtures", "device_fixtures"]


@new_and_old_device
def test_cleaning_takes_what_it_is_told_and_nothing_else(phone, data, tmp_path):
    let_end(phone)
    for run in ("it's old", "new"):
        assert run_training(phone, data, run).returncode == 0
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


@new_and_old_device
def test_nothing_is_removed_under_commands_that_run(phone, data):
    runs = ("it's a first", "second")
    processes = [start_training(phone, data, run) for run in runs]
    before = set(files_on(phone))

    for what in ("--data", "--all", f"--run={runs[0]}", f"--run={runs[1]}"):
        complaint(device(phone, "clean", what), 2, "is running on the phone", "attach")

    assert before <= set(files_on(phone))
    let_end(phone)
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0


@new_device
@pytest.mark.parametrize("watcher", ["keeper", "waiter", "keeper waiter"])
def test_the_shells_that_watch_a_job_may_be_killed(phone, data, watcher):
    process = start_training(phone, data, "watched")
    phone.sh(
        f"cd {HOME}/jobs/train-watched && for name in {watcher}; do kill -9 $(cat $name); done"
    )
    again = run_training(phone, data, "watched")
    clean = device(phone, "clean", "--data")
    wait_for_line(process, "step 20 ")
    let_end(phone)
    _, errors = process.communicate(timeout=30)

    complaint(again, 2, "is running on the phone")
    complaint(clean, 2, "is running on the phone")
    assert process.returncode == 0, errors


@new_device
def test_the_exit_code_is_known_without_the_keeper(phone, data):
    process = start_training(phone, data, "kept")
    phone.sh(f"kill -9 $(cat {HOME}/jobs/train-kept/keeper)")
    let_end(phone, 2)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 2 and "it's code 2" in errors


@new_and_old_device
def test_attach_takes_the_job_that_was_started_last(phone, data):
    first = start_training(phone, data, "x" * 60)
    time.sleep(1.1)  # the start's time is compared, and some file systems keep whole seconds
    second = start_training(phone, data, "y" * 60)
    phone.sh(f"kill -9 $(cat {HOME}/jobs/train-x*/pid)")  # ended later than the other began
    first.communicate(timeout=30)
    follower = start_device(phone, "attach")
    wait_for_line(follower, "step 1 ")
    let_end(phone)
    follower.communicate(timeout=30)
    second.communicate(timeout=30)

    assert follower.returncode == 0


@new_and_old_device
def test_a_job_holds_the_wake_lock_where_the_phone_lends_it_and_gives_it_back(phone, data):
    phone.sh("mount -t tmpfs none /sys/power; cd /sys/power; touch wake_lock wake_unlock")
    process = start_training(phone, data, "awake")
    name, nanoseconds = phone.sh("cat /sys/power/wake_lock").split()
    doctor = device(phone, "doctor")
    early = phone.sh("cat /sys/power/wake_unlock")
    let_end(phone)
    process.communicate(timeout=30)
    unlocked = wait_until(lambda: phone.sh("cat /sys/power/wake_unlock"), "the wake lock's end")
    phone.sh("umount /sys/power")

    assert name.startswith("pocketllm-") and early == ""
    assert 60e9 < int(nanoseconds) <= 600e9, "renewed while the job runs, gone soon without it"
    assert unlocked.strip() == name
    assert "ok   sleep: jobs keep the phone awake until they end" in doctor.stdout


@new_device
def test_what_a_push_that_was_cut_off_has_left_can_be_removed(phone):
    half, piece = f"{HOME}/bundles/.half.partial", f"{HOME}/incoming/piece-1"
    phone.sh(f"mkdir -p {half} {HOME}/incoming; echo x > {half}/model.tflite; echo x > {piece}")

    done = device(phone, "clean", "--bundle=half", "--data")

    assert (done.returncode, done.stderr) == (0, "")
    assert not [name for name in files_on(phone) if "half" in name or "incoming" in name]
