"""What a phone says of itself, and when training waits for it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import complaint, pocketllm

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host import pauses, power
from pocketllm.runtime.host.pauses import Limits, Pauses
from pocketllm.runtime.host.power import DeviceState, read_device_state

pytest_plugins = ["runtime_fixtures"]

DUMPED_BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  health: 2
  present: true
  level: 83
  scale: 100
  voltage: 4213
  temperature: 317
  technology: Li-ion
"""
DUMPED_THERMAL = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 3
Thermal Status: 2
Cached temperatures:
"""


@pytest.fixture
def battery(tmp_path):
    """Writes a /sys with a charger, a battery and two cores: (**changes) -> its folder."""

    def write(**changes):
        values = {"type": "Battery", "capacity": 55, "temp": 284, "status": "Discharging"}
        for name, value in (values | changes).items():
            path = tmp_path / "class/power_supply/battery" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        for name in ("type", "online"):
            path = tmp_path / "class/power_supply/ac" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("Mains\n")
        for core, rate in enumerate((1_800_000, 2_841_600)):
            path = tmp_path / f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{rate}\n")
        return tmp_path

    return write


def test_the_state_is_read_from_sys(battery):
    state = read_device_state(battery())

    assert (state.battery_percent, state.battery_celsius, state.charging) == (55, 28.4, False)
    assert state.cpu_mhz == 2841
    assert 1e6 < state.pss_bytes < 1e10
    assert "thermal_status" not in state.known()


def test_where_sys_is_closed_dumpsys_is_asked(tmp_path, monkeypatch):
    texts = {"battery": DUMPED_BATTERY, "thermalservice": DUMPED_THERMAL}
    monkeypatch.setattr(power, "_dumpsys", texts.get)

    state = read_device_state(tmp_path)

    assert (state.battery_percent, state.battery_celsius, state.charging) == (83, 31.7, True)
    assert (state.thermal_status, state.cpu_mhz) == (2, None)


def test_what_sys_leaves_out_is_asked_of_dumpsys(battery, monkeypatch):
    monkeypatch.setattr(power, "_dumpsys", {"battery": DUMPED_BATTERY, "thermalservice": ""}.get)
    folder = battery(status="Unknown")
    (folder / "class/power_supply/battery/temp").unlink()

    state = read_device_state(folder)

    assert (state.battery_percent, state.battery_celsius, state.charging) == (55, 31.7, True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"capacity": "101"}, "battery_percent"),
        ({"capacity": "-5"}, "battery_percent"),
        ({"capacity": "n/a"}, "battery_percent"),
        ({"capacity": "²"}, "battery_percent"),
        ({"temp": "-2730"}, "battery_celsius"),
        ({"temp": "65535"}, "battery_celsius"),
        ({"temp": ""}, "battery_celsius"),
        ({"status": "Unknown"}, "charging"),
        ({"status": ""}, "charging"),
    ],
)
def test_what_no_battery_can_have_is_not_known(battery, monkeypatch, changes, field):
    monkeypatch.setattr(power, "_dumpsys", lambda service: "")

    known = read_device_state(battery(**changes)).known()

    assert {"battery_percent", "battery_celsius", "charging"} - set(known) == {field}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Can't find service: battery",
        "  level: many\n",
        "  level: 5\n  scale: 0\n",
        "  status: 1\n",
    ],
)
def test_a_dumpsys_that_tells_nothing_is_not_believed(tmp_path, monkeypatch, text):
    monkeypatch.setattr(power, "_dumpsys", lambda service: text)

    assert set(read_device_state(tmp_path).known()) == {"pss_bytes"}


@pytest.mark.parametrize("body", ["exit 1", "echo '  level: 5'; exit 20", "kill -9 $$"])
def test_a_dumpsys_that_fails_tells_nothing(tmp_path, monkeypatch, body):
    stub = tmp_path / "dumpsys"
    stub.write_text(f"#!/bin/sh\n{body}\n")
    stub.chmod(0o755)
    monkeypatch.setattr(power, "DUMPSYS", str(stub))

    assert set(read_device_state(tmp_path).known()) == {"pss_bytes"}


def test_a_pens_battery_is_not_the_phones(battery):
    folder = battery()
    pen = folder / "class/power_supply/a-pen"
    pen.mkdir()
    for name, value in {"type": "Battery", "scope": "Device", "capacity": 3}.items():
        (pen / name).write_text(f"{value}\n")

    assert read_device_state(folder).battery_percent == 55


def test_a_device_that_says_nothing_is_known_by_its_memory_alone(tmp_path):
    assert set(read_device_state(tmp_path).known()) == {"pss_bytes"}


COOL = DeviceState(battery_percent=50, battery_celsius=30.0, charging=False)


@pytest.mark.parametrize(
    ("limits", "waits", "goes_on", "reason"),
    [
        (Limits(max_temp=40), {"battery_celsius": 40.1}, {"battery_celsius": 39.0}, "40.1 °C"),
        (Limits(min_battery=20), {"battery_percent": 19}, {"battery_percent": 22}, "19%"),
        (Limits(only_charging=True), {"charging": False}, {"charging": True}, "--only_charging"),
    ],
    ids=["hot", "empty", "no charger"],
)
def test_training_waits_says_why_and_goes_on(limits, waits, goes_on, reason):
    bad, good = (DeviceState(**{"battery_percent": 50, "battery_celsius": 30.0} | changes)
                 for changes in (waits, goes_on))  # fmt: skip
    read = iter([bad, bad, bad, good])
    lines = []

    measured = Pauses(limits, lambda: next(read), sample_seconds=0.01)(lines.append)

    assert next(read, None) is None, "it waited for the good one, and no longer"
    assert reason in lines[0] and lines[0].startswith("paused: ")
    assert lines[1].startswith("going on after ") and len(lines) == 2
    assert measured == good.known()


def test_a_pause_lasts_until_there_is_some_margin():
    limits = Limits(max_temp=40, min_battery=20)

    for (celsius, percent), waits in (((39.5, 50), True), ((39.0, 50), False), ((30.0, 21), True)):
        state = DeviceState(battery_celsius=celsius, battery_percent=percent)
        assert bool(limits.reason(state, resuming=True)) is waits
        assert not limits.reason(state)


LIMITS = Limits(max_temp=40, min_battery=20, only_charging=True)
FINE = DeviceState(battery_percent=21, battery_celsius=39.5, charging=True)


@pytest.mark.parametrize(
    ("field", "flag", "words"),
    [
        ("battery_celsius", "--max_temp", "its battery's temperature"),
        ("battery_percent", "--min_battery", "its battery's charge"),
        ("charging", "--only_charging", "whether it charges"),
    ],
)
def test_a_phone_that_stops_telling_makes_training_wait_until_it_tells_again(field, flag, words):
    blind = replace(FINE, **{field: None})
    read = iter([FINE, blind, blind, blind, FINE])
    lines = []

    before_step = Pauses(LIMITS, lambda: next(read), sample_seconds=0.01)
    measured = before_step(lines.append)

    assert next(read, None) is None, "no margin is asked of what was never exceeded"
    assert len(lines) == 2 and lines[1].startswith("going on after ")
    assert lines[0] == f"paused: {flag}: this device does not tell {words}; waiting until it does"
    assert measured == FINE.known()


def test_every_reason_of_a_pause_is_said_once():
    hot = replace(FINE, battery_celsius=41.0)
    blind, cool = replace(hot, battery_celsius=None), replace(FINE, battery_percent=50)
    cool = replace(cool, battery_celsius=30.0)
    read = iter([FINE, hot, hot, blind, blind, hot, replace(hot, battery_celsius=39.5), cool])
    lines = []

    Pauses(LIMITS, lambda: next(read), sample_seconds=0.01)(lines.append)

    assert next(read, None) is None
    assert [line.partition(":")[0] for line in lines] == ["paused"] * 3 + [lines[-1]]
    assert "41.0 °C" in lines[0] and "does not tell" in lines[1] and "41.0 °C" in lines[2]


def test_a_phone_that_does_not_tell_at_the_start_waits_too(monkeypatch):
    monkeypatch.setattr(pauses, "is_android", lambda: True)
    read = iter([DeviceState(), DeviceState(), FINE])
    lines = []

    Pauses(LIMITS, lambda: next(read), sample_seconds=0.01)(lines.append)

    assert "--max_temp: this device does not tell" in lines[0] and len(lines) == 2


def test_a_full_battery_is_enough_for_any_limit():
    assert not Limits(min_battery=100).reason(DeviceState(battery_percent=100), resuming=True)


def test_the_device_is_not_asked_before_every_step():
    reads = []
    before_step = Pauses(Limits(), lambda: reads.append(1) or COOL, sample_seconds=100)

    assert before_step(print) == COOL.known() and before_step(print) == {}
    assert len(reads) == 2, "when it was made, and for the first step"


@pytest.mark.parametrize(
    ("limits", "flag"),
    [
        (Limits(max_temp=40), "--max_temp"),
        (Limits(min_battery=1), "--min_battery"),
        (Limits(only_charging=True), "--only_charging"),
    ],
)
def test_a_limit_of_what_the_device_does_not_tell_is_refused(limits, flag):
    with pytest.raises(InputError, match=flag):
        Pauses(limits, DeviceState)


def test_a_limit_that_no_temperature_exceeds_is_refused():
    with pytest.raises(InputError, match="--max_temp=nan"):
        pauses.pauses_of(Limits(max_temp=float("nan")))


def test_a_run_with_limits_writes_what_it_measured(
    golden_bundle, train_file, tmp_path, monkeypatch, capsys
):
    from pocketllm.runtime import cli

    states = iter([COOL, DeviceState(battery_percent=4), COOL, COOL])
    waiting = Pauses(Limits(min_battery=5), lambda: next(states), sample_seconds=0.01)
    monkeypatch.setattr(pauses, "Pauses", lambda limits: waiting)
    run = tmp_path / "run"
    arguments = [f"--bundle={golden_bundle.folder}", f"--train={train_file}", f"--run={run}"]

    assert cli.main(["train", *arguments, "--steps=1", "--min_battery=5"]) == 0

    output = capsys.readouterr().out
    assert output.index("paused: battery at 4%") < output.index("going on after")
    line = json.loads((Path(run) / "metrics.jsonl").read_text().splitlines()[0])
    assert (line["step"], line["battery_percent"], line["battery_celsius"]) == (1, 50, 30.0)


def test_without_a_battery_the_flag_is_refused(golden_bundle, train_file, tmp_path):
    if read_device_state().battery_celsius is not None:
        pytest.skip("this machine tells its battery's temperature")
    arguments = [f"--bundle={golden_bundle.folder}", f"--train={train_file}", "--steps=1"]

    done = pocketllm("train", *arguments, f"--run={tmp_path / 'r'}", "--max_temp=40")

    complaint(done, 2, "--max_temp", "battery's temperature")
