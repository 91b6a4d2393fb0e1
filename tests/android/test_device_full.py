"""A phone that is full, or fills up, and what looking at it leaves there: nothing."""

import json

import pytest
from device_cases import (
    BUNDLE,
    device,
    files_on,
    fill,
    let_end,
    new_and_old_device,
    new_device,
    run_training,
    stand_in_image,
    start_device,
    start_training,
    train_command,
    wait_for_line,
)
from small_runs import complaint

from pocketllm.android_harness.phone.paths import HOME, IMAGE

# The workstation's side.
pytestmark = [pytest.mark.desktop, pytest.mark.usefixtures("nothing_runs")]
pytest_plugins = ["runtime_fixtures", "device_fixtures"]
CLEAN = "`pocketllm device clean` makes room"


def everything(phone):
    """Lists files and folders of the device with size and time of change."""
    return phone.sh(f"find {HOME} /data/local/tmp -exec stat -c '%n %s %Y' {{}} +")


@new_and_old_device
def test_a_job_on_a_full_phone_can_be_looked_at_and_cleaned_away(phone, data, tmp_path):
    process = start_training(phone, data, "full")
    fill(phone)
    follower = start_device(phone, "attach", "--run=full")
    wait_for_line(follower, "step 1 ")
    phone.sh(f"touch {IMAGE}/enough")  # an entry of a folder: it takes no room
    process.communicate(timeout=30)
    follower.communicate(timeout=30)
    assert phone.sh("echo x > /data/more 2>/dev/null || echo full") != ""
    before = everything(phone)

    attached = device(phone, "attach", "--run=full")
    pulled = device(phone, "pull", "--run=none", f"--out={tmp_path / 'run'}")
    looked_at = everything(phone)
    cleaned = device(phone, "clean", "--data")

    last = attached.stderr.splitlines()[-1]
    assert attached.returncode == 1 and "the phone is full" in last and CLEAN in last
    complaint(pulled, 2, "no run on the phone")
    assert looked_at == before
    assert (cleaned.returncode, cleaned.stderr) == (0, "")


@new_and_old_device
def test_a_training_that_fills_the_phone_says_so(phone, data):
    process = start_training(phone, data, "fills")
    fill(phone)
    let_end(phone, 1)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "the phone is full" in errors.splitlines()[-1] and CLEAN in errors.splitlines()[-1]


@new_and_old_device
def test_nothing_begins_on_a_full_phone_and_the_remedy_is_said(phone, data, tmp_path):
    let_end(phone)
    assert run_training(phone, data, "first").returncode == 0
    fill(phone)

    training = run_training(phone, data, "second")
    doctor = device(phone, "doctor", f"--json={tmp_path / 'j'}")

    complaint(training, 1, "No space left on device", CLEAN)
    assert training.stderr.count(CLEAN) == 1
    assert "second" not in phone.sh(f"ls -A {HOME}/jobs")
    findings = {f["name"]: f for f in json.loads((tmp_path / "j").read_text())["findings"]}
    assert "the phone is full" in findings["storage"]["state"] and not findings["storage"]["good"]
    assert CLEAN in findings["storage"]["remedy"]
    assert findings["programs"]["state"] == "not tried: the phone is full"
    assert "another phone" not in doctor.stdout
    assert findings["image"]["good"] and doctor.returncode == 1


@new_and_old_device
def test_two_who_look_at_once_see_every_line_once(phone, data):
    processes = [start_device(phone, *train_command(data, "both"))]
    begun = [wait_for_line(processes[0], "step 1 "), "", ""]
    processes += [start_device(phone, "attach", "--run=both") for _ in range(2)]
    begun = [text + wait_for_line(p, "step 20 ") for text, p in zip(begun, processes, strict=True)]
    let_end(phone)
    # Not communicate(): that forgets what was read ahead with the line.
    outputs = [
        (text + process.stdout.read(), process.stderr.read())
        for text, process in zip(begun, processes, strict=True)
    ]

    steps = phone.sh(f"grep -c ^step {HOME}/jobs/train-both/out").strip()
    for output, errors in outputs:
        for text, word in ((output, "step "), (errors, "note ")):
            numbers = [int(line.split()[1]) for line in text.splitlines() if line.startswith(word)]
            assert numbers == list(range(1, int(steps) + 1))


@new_and_old_device
def test_looking_leaves_nothing_and_files_are_their_owners_alone(phone, data, tmp_path):
    let_end(phone)
    assert run_training(phone, data, "look").returncode == 0
    config = f"{HOME}/runs/look/config.json"
    phone.sh(f'umask 077; mkdir -p {HOME}/runs/look; echo \'{{"optimizer": "mezo"}}\' > {config}')
    before, names = everything(phone), files_on(phone)

    for command in (["attach"], ["pull", "--run=look", f"--out={tmp_path / 'run'}"]):
        assert device(phone, *command).returncode == 0
    assert everything(phone) == before
    assert device(phone, "doctor").returncode == 1  # 64 MB are few
    assert files_on(phone) == names
    assert phone.sh(f"find {HOME} -perm /077") == ""
    assert f"./bundles/{BUNDLE}/model.tflite" in files_on(phone)


@new_and_old_device
def test_a_phone_without_anything_is_left_without_anything(phone):
    phone.sh(f"mv {HOME} /data/aside")

    doctor = device(phone, "doctor")
    nothing = phone.sh("ls -A /data/local/tmp")
    phone.sh(f"mv /data/aside {HOME}")

    assert "ok   programs" in doctor.stdout and "ok   folder" in doctor.stdout
    assert nothing == ""


@new_device
def test_an_exit_code_that_found_no_room_is_no_success(phone):
    folder = f"{HOME}/jobs/train-unwritten"
    phone.sh(f"mkdir -p {folder}; cd {folder}; echo step 1 >out; : >err; : >exit")

    done = device(phone, "attach", "--run=unwritten")
    phone.sh(f"rm -r {folder}")

    complaint(done, 1, "its exit code could not be written", "was the phone full?", "begins again")


@new_device
def test_a_push_of_small_files_that_fills_the_phone_says_so(phone, tmp_path):
    image = stand_in_image(tmp_path / "image")
    for number in range(40):
        (image / f"{number}").write_bytes(bytes(400_000))
    phone.sh("head -c 58000000 /dev/zero > /data/filler")
    (phone.control / "free").write_text("0")
    (phone.control / "free_once").write_text("1000000")  # something else fills it meanwhile

    done = device(phone, "push", f"--image={image}")
    (phone.control / "free").unlink()

    complaint(done, 1, CLEAN)
    assert not [name for name in files_on(phone) if "partial" in name or "incoming" in name]
