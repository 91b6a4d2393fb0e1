"""What --model may say of a model on the Hub."""

import pytest

from pocketllm.export.hub.names import HubName, hub_name
from pocketllm.runtime.errors import InputError

HERE = "http://127.0.0.1:8000"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "main"),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", "main"),
        ("some/tiny@v1.0", "some/tiny", "v1.0"),
        ("some/tiny@refs/pr/3", "some/tiny", "refs/pr/3"),
        ("https://huggingface.co/some/tiny", "some/tiny", "main"),
        ("https://huggingface.co/some/tiny/", "some/tiny", "main"),
        ("http://www.huggingface.co/some/tiny?library=transformers", "some/tiny", "main"),
        ("huggingface.co/some/tiny", "some/tiny", "main"),
        ("hf.co/some/tiny#usage", "some/tiny", "main"),
        ("https://huggingface.co/some/tiny/tree/main", "some/tiny", "main"),
        (f"https://huggingface.co/some/tiny/commit/{COMMIT}", "some/tiny", COMMIT),
        ("https://huggingface.co/some/tiny/blob/v1/config.json", "some/tiny", "v1"),
        ("https://huggingface.co/some/tiny/tree/refs%2Fpr%2F1", "some/tiny", "refs/pr/1"),
        ("https://huggingface.co/some/tiny/tree/refs/pr/1", "some/tiny", "refs/pr/1"),
        ("https://huggingface.co/some/tiny/discussions", "some/tiny", "main"),
        ("hf://some/tiny", "some/tiny", "main"),
        ("hf://models/some/tiny@v1", "some/tiny", "v1"),
        (f"{HERE}/some/tiny/tree/v1", "some/tiny", "v1"),
    ],
)
def test_names_and_addresses_of_pages_are_read(text, repo, revision):
    assert hub_name(text, None, HERE) == HubName(repo, revision)


@pytest.mark.parametrize(
    "text",
    ["tiny", "./some/tiny", "../tiny", "/some/tiny", "some/tiny/", "a/b/c", "~/tiny", "some tiny/x",
     "some/", "", ".", "C:\\models\\tiny", "some/tiny:Q4_0"],
)  # fmt: skip
def test_what_is_no_name_on_the_hub_is_left_to_others(text):
    assert hub_name(text, None, HERE) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://huggingface.co/datasets/some/rows", "a dataset on the Hub, expected a model"),
        ("datasets/some/rows", "a dataset on the Hub, expected a model"),
        ("https://huggingface.co/spaces/some/app", "a space on the Hub, expected a model"),
        ("https://huggingface.co/some", "names no model on the Hub; write --model=OWNER/NAME"),
        ("https://huggingface.co", "names no model on the Hub; write --model=OWNER/NAME"),
        ("https://example.org/some/tiny", "no address of the Hub; write --model=OWNER/NAME"),
    ],
)
def test_addresses_of_anything_else_are_refused(text, problem):
    with pytest.raises(InputError, match=problem) as caught:
        hub_name(text, None, HERE)

    assert str(caught.value).startswith(f"--model={text}")


def test_the_revision_is_given_once():
    assert hub_name("some/tiny", "v1", HERE) == HubName("some/tiny", "v1")
    assert hub_name("some/tiny@v1", "v1", HERE) == HubName("some/tiny", "v1")
    with pytest.raises(InputError, match="names the revision v2, --revision=v1 another; give one"):
        hub_name("some/tiny@v2", "v1", HERE)
