"""The native program waits while the battery is too hot or too empty, or no charger is there."""

import json
import subprocess

import pytest
from native_program import PROGRAM, flags_of


@pytest.mark.parametrize(
    ("flag", "before", "reason", "behind"),
    [
        ("--max_temp=40", {"temp": 450}, "battery at 45.0 °C, --max_temp=40", {"temp": 390}),
        (
            "--min_battery=50",
            {"capacity": 49},
            "battery at 49%, --min_battery=50",
            {"capacity": 80},
        ),
        (
            "--only_charging",
            {"status": "Discharging"},
            "the battery is not charging, --only_charging",
            {"status": "Charging"},
        ),
    ],
)
def test_a_battery_that_is_too_hot_or_empty_or_not_charging_is_waited_for(
    flag, before, reason, behind, small, tmp_path
):
    battery = tmp_path / "sys" / "class" / "power_supply" / "battery"
    battery.mkdir(parents=True)

    def show(values):
        for name, value in values.items():
            (battery / name).write_text(f"{value}\n")

    show({"type": "Battery", "temp": 390, "capacity": 80, "status": "Charging"} | before)
    flags = flags_of(
        bundle=small / "bundle", encoded=small / "train.rows", run=tmp_path / "run", steps=3,
        lr=1e-2, threads=1,
    )  # fmt: skip
    environment = {"POCKETLLM_SYS": str(tmp_path / "sys"), "POCKETLLM_SAMPLE_SECONDS": "0.05"}
    process = subprocess.Popen(
        [PROGRAM, *flags, flag], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"paused: {reason}"):
            assert len((tmp_path / "run" / "journal").read_bytes()) < 500  # the header alone
            show(behind)

    assert process.wait(60) == 0
    assert any(line.startswith("going on after") for line in lines)
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert line["battery_celsius"] == 39.0 and line["battery_percent"] == 80
