"""`pocketllm device pull`: which files of a run come along, by the kind of the run."""

import pytest
from device_cases import device
from loopback import loopback
from small_runs import adam_config, pocketllm, run_config

from pocketllm.android_harness.phone.paths import HOME, run_folder
from pocketllm.runtime.run.loop import train

pytestmark = pytest.mark.desktop  # the workstation's side
pytest_plugins = ["runtime_fixtures", "adam_stand_in"]

ALWAYS = {
    "config.json",
    "journal",
    "metrics.jsonl",
    "machine.json",
    "measured.json",
    "warnings.json",
}


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A device."""
    with loopback(tmp_path_factory.mktemp("pull") / "device") as new_phone:
        yield new_phone


@pytest.mark.parametrize("kind", ["mezo", "adam"])
def test_parameters_and_moments_come_along_where_the_journal_does_not_give_them(
    kind, phone, ready, open_ready, golden_bundle, train_data, tmp_path, monkeypatch
):
    for module in ("journalled", "kept"):
        monkeypatch.setattr(f"pocketllm.runtime.run.{module}.snapshot_due", lambda *_: True)
    there = tmp_path / "there"
    if kind == "adam":
        train(ready(), train_data, there, adam_config(golden_bundle, train_data))
    else:
        model = open_ready(golden_bundle, "litert")
        train(model, train_data, there, run_config(golden_bundle, train_data))
    (there / "measured.json").write_text("{}")
    phone.sh(f"mkdir -p {HOME}/runs")
    assert phone.adb("push", str(there), run_folder(kind)).returncode == 0

    done = device(phone, "pull", f"--run={kind}", f"--out={tmp_path / 'here'}")

    assert (done.returncode, done.stderr) == (0, "")
    here = {path.name for path in (tmp_path / "here").iterdir()}
    parameters = {f"{part}-{step}.npz" for part in ("parameters", "moments") for step in (5, 6)}
    assert here <= ALWAYS | parameters and here >= {
        "config.json",
        "journal",
        "metrics.jsonl",
        "measured.json",
    }
    assert here & parameters == (parameters if kind == "adam" else set())
    for name in here:
        assert (tmp_path / "here" / name).read_bytes() == (there / name).read_bytes()
    if kind == "mezo":
        out = f"--out={tmp_path / 'checkpoint'}"
        replayed = pocketllm(
            "replay", f"--bundle={golden_bundle.folder}", f"--run={tmp_path / 'here'}", out
        )
        assert replayed.returncode == 0, replayed.stderr
