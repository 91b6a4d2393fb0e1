"""What --model means: what is neither a folder nor a file is refused, and nothing waits for it."""

import errno
import os

import pytest
from checkpoint_files import refusal
from small_runs import complaint, pocketllm

from pocketllm.export.sources.kinds import source_of

pytestmark = pytest.mark.desktop


@pytest.mark.parametrize("name", ["pipe", "pipe.gguf"])
def test_a_pipe_is_refused_and_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)

    assert refusal(source_of, tmp_path / name) == (
        f"--model={tmp_path / name}: a pipe or a device, which cannot be read twice; give a folder "
        "or a file"
    )


def test_a_pipe_in_the_place_of_the_weights_is_not_waited_for(tmp_path):
    from pocketllm.export.checkpoint.reader import open_checkpoint

    os.mkfifo(tmp_path / "model.safetensors")

    assert f"{tmp_path}: no weights" in refusal(open_checkpoint, tmp_path)


def test_a_path_that_cannot_be_looked_at_is_bad_input(tmp_path):
    (tmp_path / "loop").symlink_to("loop")

    assert refusal(source_of, "x" * 5000).endswith(
        f"x: {os.strerror(errno.ENAMETOOLONG)}; check the path"
    )
    assert refusal(source_of, tmp_path / "loop").endswith(
        f"{os.strerror(errno.ELOOP)}; check the path"
    )


def test_a_setting_of_the_hubs_library_that_is_no_number_is_said(tmp_path):
    done = pocketllm(
        "export", "--model=some/tiny", "--task=sst2", f"--out={tmp_path / 'out'}",
        HF_HUB_DOWNLOAD_TIMEOUT="soon", HF_HUB_OFFLINE="1",
    )  # fmt: skip

    complaint(done, 2, "huggingface_hub does not load (invalid literal for int()", "HF_…")
