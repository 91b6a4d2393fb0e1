"""Detached commands: followed, attached to, stopped, and their ends; a stand-in trains."""

import json
import os
import signal

import pytest
from device_cases import (
    BUNDLE,
    device,
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
def test_output_flags_and_result_come_back_and_no_name_is_read_by_a_shell(phone, data, tmp_path):
    let_end(phone)

    done = run_training(phone, data, "r", "--lr=1e-4", f"--json={tmp_path / 'j'}")

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

    complaint(run_training(phone, data), code, f"the data is bad: it's code {code}")


@new_device
def test_a_command_that_was_killed_says_what_for(phone, data):
    process = start_training(phone, data)
    phone.sh(f"kill -9 $(cat {HOME}/jobs/*/pid)")
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "killed on the phone (signal 9)" in errors.splitlines()[-1]


@new_and_old_device
def test_it_goes_on_without_the_cable_and_comes_back_by_itself(phone, data):
    process = start_training(phone, data)
    phone.unplug()
    errors = wait_for_line(process, "connection was lost", "stderr")
    step = phone.control / "step"
    wait_until(lambda: int(step.read_text() or 0) > 12, "it goes on meanwhile")
    phone.plug_in()
    let_end(phone)
    # Not communicate(): that forgets what was read ahead with the line.
    output, errors = process.stdout.read(), errors + process.stderr.read()
    process.wait(timeout=30)

    assert process.returncode == 0, errors
    assert "connection was lost" in errors and "is back" in errors
    steps = [int(line.split()[1]) for line in output.splitlines() if line.startswith("step ")]
    assert steps == list(range(3, 3 + len(steps))), "no line is lost or doubled"
    assert len(steps) > 8, "it went on meanwhile"


@new_device
def test_a_cable_that_stays_away_is_said_and_attach_picks_it_up(phone, data):
    process = start_training(phone, data, "away", "--reconnect_seconds=1")
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
    process = start_training(phone, data)
    process.kill()
    process.communicate()
    busy = run_training(phone, data)
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
    process = start_training(phone, data, "stop", f"--json={tmp_path / 'j'}")
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert "stopping after the step under way" in errors
    assert json.loads((tmp_path / "j").read_text())["stopped"] is True


@new_device
def test_a_second_ctrl_c_leaves_at_once(phone, data):
    process = start_training(phone, data)
    phone.unplug()  # so that the device cannot end first
    process.send_signal(signal.SIGINT)
    wait_for_line(process, "stopping after the step under way", "stderr")
    process.send_signal(signal.SIGINT)
    errors = process.stderr.read()
    process.wait(timeout=30)
    phone.plug_in()

    assert process.returncode == 130
    assert "interrupted" in errors.splitlines()[-1]


@new_device
def test_a_restarted_phone_is_not_taken_for_a_running_job(phone, data):
    process = start_training(phone, data)
    # All of it at once, as a restart does; the number becomes another process's.
    phone.sh(
        f"cd {HOME}/jobs/*name && kill -9 $(cat keeper waiter pid)"
        "; rm -f exit; setsid sleep 60 >/dev/null 2>&1 </dev/null & echo $! > new"
        "; mv new keeper"
    )
    _, errors = process.communicate(timeout=30)
    let_end(phone)

    assert process.returncode == 1 and "restarted" in errors.splitlines()[-1]
    assert run_training(phone, data).returncode == 0


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
    complaint(none, 2, "--device_data=/sdcard/none.tsv", "no such file on the phone")
    for path, words in (("/sdcard", "a folder"), ("notes.tsv", "from the phone's root")):
        complaint(device(phone, *command, f"--device_data={path}"), 2, f"data={path}: ", words)
    complaint(both, 2, "--train and --device_data")


@new_device
def test_what_was_not_pushed_is_named_with_the_command(phone, data):
    command = ["train", "--bundle=other", "--run=r", "--steps=1", f"--train={data}"]

    complaint(device(phone, *command), 2, "bundles/other", "device push --bundle=other")
    complaint(device(phone, "attach", "--run=none"), 2, "train-none", "nothing was started")
    complaint(run_training(phone, data, ".."), 2, "--run='..'", "cannot be a name")
    complaint(
        run_training(phone, "none.tsv"),
        2,
        "--train=none.tsv",
        "no such file",
        "--device_data",
    )


@new_device
def test_eval_is_a_job_too(phone, data):
    let_end(phone)

    done = device(phone, "eval", f"--bundle={BUNDLE}", f"--data={data}", "--run=r", "--sample=3")

    assert done.returncode == 0, done.stderr
    for given in ("eval", "--sample=3", f"--run={HOME}/runs/r"):
        assert f"given: {given}\n" in done.stdout


@new_device
def test_generate_is_a_job_too(phone, tmp_path):
    let_end(phone)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    text = "--chat=It's 5 o'clock: $(rm -rf /) \"now\"?"

    done = device(phone, "generate", f"--bundle={BUNDLE}", "--run=r", text, "--top_p=0.9")
    assert done.returncode == 0, done.stderr
    for given in ("generate", "--top_p=0.9", f"--run={HOME}/runs/r", text):
        assert f"given: {given}\n" in done.stdout

    sent = device(phone, "generate", f"--bundle={BUNDLE}", f"--data={tmp_path / 'prompts.jsonl'}")
    assert sent.returncode == 0, sent.stderr
    assert "/prompts.jsonl\n" in sent.stdout
    complaint(device(phone, "generate", f"--bundle={BUNDLE}"), 2, "--prompt, --chat or --data")
