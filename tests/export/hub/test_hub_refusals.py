"""What the Hub refuses, or cannot be asked: one line each."""

import pytest
from hub_models import COMMIT, refused
from hub_server import Fault

from pocketllm.export.hub.names import HubName, hub_name
from pocketllm.export.sources.kinds import source_of
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.tflite_models.presets import ON_HUB

pytest_plugins = ["hub_fixtures"]
pytestmark = pytest.mark.desktop


@pytest.fixture
def api(hub):
    """Makes the Hub's description of a model fail."""
    return lambda status, **headers: hub.faults.append(
        Fault("/api/models/some", status, {n.replace("_", "-"): v for n, v in headers.items()})
    )


def test_an_unknown_name_is_neither_of_three(hub):
    line = refused(InputError, "some/other-model")

    assert line == (
        "--model=some/other-model: neither a folder, a preset nor a model on the Hub "
        f"({hub.address} answers 401); if it is private, give a token that may read it (HF_TOKEN, "
        "or `hf auth login`)"
    )


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("some/tinny", "some/tiny"),
        ("some/Tiny2", "some/tiny"),
        ("FacebookAI/roberta-lage", "FacebookAI/roberta-large"),
        ("other/roberta-lage", "roberta-large"),
        ("checkpoints/mime", "checkpoints/mine"),
    ],
)
def test_a_name_with_a_typo_is_told_the_nearest(model, meant, hub, tmp_path):
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)

    assert f"; did you mean {meant}?" in refused(InputError, model)


def test_a_datasets_name_is_said_to_be_one(hub):
    hub.datasets = ("some/rows",)

    assert ": it is a dataset there; give the model" in refused(InputError, "some/rows")


def test_an_unknown_revision_is_named(hub):
    assert refused(InputError, revision="v9") == (
        f"--revision=v9: no branch, tag or commit of some/tiny on the Hub; "
        f"{hub.address}/some/tiny/tree/main lists them"
    )


def test_a_gated_model_says_where_its_conditions_are(hub, monkeypatch):
    hub.repos["some/tiny"].gated = True
    at = f"--model=some/tiny: a gated model: accept its conditions at {hub.address}/some/tiny, then"

    assert refused(InputError) == (
        f"{at} give a token that may read it (HF_TOKEN, or `hf auth login`)"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_else")
    assert refused(InputError) == f"{at} wait until access is granted"
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    assert source_of("some/tiny").commit == COMMIT


def test_a_private_model_needs_its_token(hub, monkeypatch):
    hub.repos["some/tiny"].token = "hf_mine"

    assert "answers 401); if it is private, give a token" in refused(InputError)
    monkeypatch.setenv("HF_TOKEN", "hf_else")
    assert "answers 404); if it is private, give a token" in refused(InputError)


def test_a_token_that_has_ended_is_said(hub, api, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    api(401, X_Error_Message="Invalid credentials in Authorization header")

    assert refused(InputError) == (
        "--model=some/tiny: the Hub does not take the token (401: Invalid credentials in "
        "Authorization header); set HF_TOKEN to a valid one, or `hf auth login` again"
    )


@pytest.mark.parametrize(
    ("status", "headers", "kind", "text"),
    [
        (403, {"X_Error_Message": "Forbidden"}, InputError, "refuses access (403: Forbidden)"),
        (403, {"X_Error_Message": "Access to this resource is disabled."}, InputError,
         "the Hub has disabled this model"),
        (429, {}, RunError, "limits the rate of requests (429); wait, or log in"),
        (429, {"Retry_After": "300"}, RunError, "limits the rate of requests (429, for 300 s)"),
        (500, {}, RunError, "fails (500); try again later"),
        (503, {"X_Error_Message": "Upgrading"}, RunError, "fails (503: Upgrading); try again"),
        (418, {}, RunError, "refuses (418)"),
    ],
)  # fmt: skip
def test_what_the_hub_refuses_is_one_line(status, headers, kind, text, api):
    api(status, **headers)

    assert text in refused(kind)


@pytest.mark.parametrize(
    "body", [b"<html>Log in to this network</html>", b"[]", b'{"sha": "' + COMMIT.encode() + b'"}']
)
def test_an_answer_that_is_none_of_the_hubs_is_refused(body, hub):
    hub.faults.append(Fault("/api/models/some", replace=body))

    line = refused(RunError)

    assert line.startswith(f"--model=some/tiny: {hub.address} does not answer as the Hub does (")
    assert line.endswith("); check HF_ENDPOINT and HTTPS_PROXY")


@pytest.mark.parametrize(
    ("endpoint", "cause"),
    [
        ("http://127.0.0.1:9", "ConnectError"),
        ("http://nowhere.invalid", "ConnectError"),
        ("hub.example", "UnsupportedProtocol"),
    ],
)
def test_without_a_network_it_fails_at_once(endpoint, cause, hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)

    line = refused(RunError)

    assert line.startswith("--model=some/tiny: neither a folder nor a preset, nor in the Hub's")
    assert f"; the Hub ({endpoint}) cannot be reached ({cause}" in line


def test_a_hub_that_says_nothing_is_given_up(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.faults.append(Fault("/api/models/some", stall=True))

    assert "cannot be reached (ReadTimeout" in refused(RunError)


def test_offline_without_a_copy_is_refused(hub, offline):
    offline()

    assert refused(InputError, "some/tinny").endswith(
        "; HF_HUB_OFFLINE keeps this command from the network: unset it, or give what lies here"
    )
    assert hub.requests == []


def test_offline_the_hint_is_of_what_lies_here(hub, offline, tmp_path):
    offline()
    (tmp_path / "HuggingFaceTB" / "SmolLM2").mkdir(parents=True)

    assert "did you mean" not in refused(InputError, "Qwen/Qwen2.5-0.5B-Instruct")
    assert "; did you mean HuggingFaceTB/SmolLM2?" in refused(InputError, "HuggingFaceTB/SmolLM3")


@pytest.mark.parametrize("model", ["nowhere", "roberta_micro", "some tiny/x", "a/b/c"])
def test_what_is_no_name_on_the_hub_is_refused_without_asking(model, hub):
    line = refused(InputError, model)

    assert line.startswith(f"--model={model}: neither a folder, a GGUF file nor a preset (")
    assert "nor OWNER/NAME of a model on the Hub" in line and hub.requests == []
    assert ("; did you mean roberta-micro?" in line) == (model == "roberta_micro")


def test_a_preset_without_weights_says_its_name_on_the_hub():
    line = refused(InputError, "qwen3-0.6b")

    assert "give --model=Qwen/Qwen3-0.6B (from the Hub), the folder of its checkpoint" in line
    for name in ON_HUB.values():
        assert hub_name(name, None, "") == HubName(name)


def test_two_names_that_the_hub_does_not_allow_are_refused(hub):
    assert "no name on the Hub (" in refused(InputError, "some/ti--ny")


def test_a_token_that_no_header_can_hold_is_said(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_é")

    assert refused(InputError) == (
        "--model=some/tiny: the token holds 'é', which no token does; set HF_TOKEN to a valid one, "
        "or `hf auth login` again"
    )
