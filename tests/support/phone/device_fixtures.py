"""Fixtures of the tests with devices."""

import pytest
from device_cases import device, let_end, let_run, stand_in_image
from loopback import loopback
from small_runs import rows, write_tsv

from pocketllm.android_harness.phone.paths import HOME


@pytest.fixture(scope="module")
def phone(request, tmp_path_factory, golden_bundle):
    """A device, a new and an old one, with the stand-in image and a bundle."""
    folder = tmp_path_factory.mktemp("device")
    image = stand_in_image(folder / "image")
    with loopback(folder / "device", "64m", request.param) as phone:
        done = device(phone, "push", f"--image={image}", f"--bundle={golden_bundle.folder}")
        assert done.returncode == 0, done.stderr
        yield phone


@pytest.fixture
def data(tmp_path):
    """Training data with a name that a shell must not read."""
    return write_tsv(tmp_path / 'it\'s; touch $(x) `y` "z".tsv', rows(8, 0))


@pytest.fixture
def nothing_runs(phone):
    """Each test starts and ends with no job running."""
    let_run(phone)
    yield
    let_end(phone)
    phone.sh(f"for pid in $(cat {HOME}/jobs/*/pid); do kill -9 $pid; done 2>/dev/null")
    phone.sh("rm -f /data/filler")
