"""`pocketllm device push`: what is sent, what is not, and what a push that fails leaves behind."""

import json
import shutil

import pytest
from device_cases import device, files_on, stand_in_image
from loopback import loopback
from small_runs import complaint

from pocketllm.android_harness.phone.paths import HOME, IMAGE

pytestmark = pytest.mark.desktop  # the workstation's side
UNCHANGED_BYTES = 100_000  # that a push of nothing new may send


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A device of 120 MB."""
    with loopback(tmp_path_factory.mktemp("push") / "device", data_size="120m") as new_phone:
        yield new_phone


@pytest.fixture(autouse=True)
def empty(phone):
    """Nothing is on the device at first."""
    phone.sh(f"rm -rf {HOME}")


@pytest.fixture
def image(tmp_path):
    """A device image with a file of 40 MB, which travels in three pieces, and folders."""
    folder = stand_in_image(tmp_path / "image")
    (folder / "site" / "a b").mkdir(parents=True)
    (folder / "site" / "a b" / "it's.py").write_text("x")
    (folder / "large").write_bytes(bytes(range(256)) * 160_000)
    return folder


def sums_on(phone, folder=IMAGE):
    """Returns {path: sha256} of the files on the device, by its own tools."""
    lines = phone.sh(f'cd "{folder}" && find . -type f -exec sha256sum {{}} +').splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def test_a_push_arrives_whole_and_runnable_and_a_second_one_sends_next_to_nothing(
    phone, image, golden_bundle, tmp_path
):
    bundle = tmp_path / 'it\'s a "bundle"; $(touch x)'
    shutil.copytree(golden_bundle.folder, bundle)
    command = ["push", f"--image={image}", f"--bundle={bundle}", f"--json={tmp_path / 'j'}"]

    first = device(phone, *command)
    before, there = phone.received(), files_on(phone)
    again = device(phone, *command)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert phone.received() - before < UNCHANGED_BYTES
    assert "unchanged" in again.stdout
    assert json.loads((tmp_path / "j").read_text())["image"]["sent_bytes"] == 0
    assert files_on(phone) == there
    assert f"./bundles/{bundle.name}/model.tflite" in there
    assert not [name for name in there if "partial" in name or "incoming" in name]
    sent = {name for name in there if name.startswith("./image/")}
    assert sent == {
        f"./image/{name}"
        for name in (".manifest", "image.lock.json", "large", "pocketllm", "site/a b/it's.py")
    }
    assert "ok   image: runs" in device(phone, "doctor").stdout


def test_only_what_changed_is_sent_and_what_is_gone_goes(phone, image):
    assert device(phone, "push", f"--image={image}").returncode == 0
    phone.sh(f"mkdir {IMAGE}/cache; echo x > {IMAGE}/cache/made-there")
    (image / "image.lock.json").write_text("changed\n")
    (image / "site" / "new.py").write_text("y")
    (image / "site" / "a b" / "it's.py").unlink()
    before = phone.received()

    done = device(phone, "push", f"--image={image}")

    assert done.returncode == 0, done.stderr
    assert phone.received() - before < UNCHANGED_BYTES
    assert files_on(phone, IMAGE) == [
        "./.manifest", "./cache/made-there", "./image.lock.json", "./large", "./pocketllm",
        "./site/new.py",
    ]  # fmt: skip
    assert phone.sh(f"cat {IMAGE}/image.lock.json") == "changed\n"


def test_what_was_cut_short_on_the_device_is_sent_again(phone, image):
    assert device(phone, "push", f"--image={image}").returncode == 0
    whole = sums_on(phone)
    phone.sh(f"truncate -s 5 {IMAGE}/large; rm {IMAGE}/pocketllm")

    assert device(phone, "push", f"--image={image}").returncode == 0
    assert sums_on(phone) == whole


def test_a_push_that_was_unplugged_leaves_nothing_usable_and_goes_on_where_it_was(phone, image):
    phone.unplug_after(25_000_000)

    cut = device(phone, "push", f"--image={image}")
    phone.plug_in()
    there = files_on(phone)
    before = phone.received()
    again = device(phone, "push", f"--image={image}")

    complaint(cut, 1, "connection was lost", "goes on from there")
    assert not [name for name in there if name.startswith("./image/")]
    assert again.returncode == 0, again.stderr
    assert phone.received() - before < 41_000_000 - 16_000_000, "a piece was there already"
    assert len(files_on(phone, IMAGE)) == 5
    large = (image / "large").read_bytes()
    assert phone.sh(f"wc -c < {IMAGE}/large").strip() == str(len(large))


def test_what_arrived_damaged_never_counts(phone, image):
    phone.unplug_after(25_000_000)
    assert device(phone, "push", f"--image={image}").returncode == 1
    phone.plug_in()
    spoil = f"cd {HOME}/.image.partial && printf x | cat - large > l2 && mv l2 large"
    phone.sh(spoil)

    spoilt = device(phone, "push", f"--image={image}")
    again = device(phone, "push", f"--image={image}")

    complaint(spoilt, 1, "large", "arrived damaged", "again")
    assert again.returncode == 0 and len(files_on(phone, IMAGE)) == 5


def test_too_little_room_is_said_before_anything_is_sent(phone, image):
    (image / "larger").write_bytes(bytes(70_000_000))
    before = phone.received()

    done = device(phone, "push", f"--image={image}")

    complaint(done, 1, IMAGE, "needs", "free")
    assert phone.received() - before < UNCHANGED_BYTES
    assert files_on(phone) == []


def test_a_phone_that_fills_up_on_the_way_is_left_as_it_was(phone, image):
    phone.sh(f"mkdir -p {HOME}; head -c 95000000 /dev/zero > {HOME}/photos")
    # The room is looked at first: what fills up meanwhile is something else.
    (phone.control / "free").write_text("1000000")

    done = device(phone, "push", f"--image={image}")
    (phone.control / "free").unlink()

    complaint(done, 1, "No space left on device")
    assert files_on(phone) == ["./photos"]
    phone.sh(f"rm {HOME}/photos")


def test_another_processor_is_refused_before_anything_is_sent(phone, image):
    phone.properties(ro_product_cpu_abilist="x86_64,x86")

    done = device(phone, "push", f"--image={image}")
    phone.properties()

    complaint(done, 1, "x86_64,x86", "arm64-v8a", "64-bit ARM")
    assert files_on(phone) == []


def test_a_folder_that_is_no_image_is_refused(phone, tmp_path):
    (tmp_path / "letters").mkdir()

    complaint(device(phone, "push", f"--image={tmp_path / 'letters'}"), 2, "pocketllm device image")
    complaint(device(phone, "push"), 2, "--image", "--bundle")


def test_hundreds_of_files_that_an_image_lost_go_however_short_a_command_is(tmp_path):
    image = stand_in_image(tmp_path / "image")
    for number in range(400):
        path = image / "site" / ("a folder's " * 4) / f"{number:04} {'f' * 60}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    with loopback(tmp_path / "old", "64m", features="cmd") as old:
        assert device(old, "push", f"--image={image}").returncode == 0
        old.sh(f"echo x > {IMAGE}/site/made-there")
        shutil.rmtree(image / "site" / ("a folder's " * 4))

        done = device(old, "push", f"--image={image}")

        assert done.returncode == 0, done.stderr
        assert files_on(old, IMAGE) == [
            "./.manifest", "./image.lock.json", "./pocketllm", "./site/made-there",
        ]  # fmt: skip
        assert not [name for name in files_on(old) if "partial" in name or "incoming" in name]
