"""The identity of an export: the same for the same inputs, another for every other prompt."""

import pytest
from small_runs import complaint, pocketllm

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle

pytestmark = pytest.mark.desktop

PROMPTS = ("{text} It was {mask}.", "{text} It was a {mask}.")


@pytest.fixture(scope="module")
def exports(make_checkpoint, tmp_path_factory):
    """Two exports of the first prompt, and one of the second, by the command."""
    checkpoint, folder = make_checkpoint(num_hidden_layers=1), tmp_path_factory.mktemp("exports")
    bundles = []
    for number, prompt in enumerate((PROMPTS[0], PROMPTS[0], PROMPTS[1])):
        out = folder / f"bundle-{number}"
        done = pocketllm(
            "export", f"--model={checkpoint}", f"--out={out}", "--task=text", "--lengths=16",
            "--batch_size=2", f"--prompt={prompt}", "--label_words=bad:terrible,good:great",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        bundles.append(read_bundle(out))
    return bundles


def test_an_export_with_the_same_inputs_is_the_same_bundle(exports):
    first, again, _ = exports

    assert first.checksum == again.checksum
    for name in (contract.MODEL_FILE, contract.MANIFEST_FILE, contract.TOKENIZER_FILE):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes()


def test_an_export_with_another_prompt_has_the_same_model_file_and_refuses_the_others_runs(
    exports, tmp_path
):
    bundle, same, other = exports
    model = contract.MODEL_FILE
    assert bundle.files[model] == other.files[model]
    data, run = tmp_path / "rows.jsonl", tmp_path / "run"
    data.write_text('{"text": "a film", "label": "good"}\n{"text": "it", "label": "bad"}\n')

    def train(opened, steps):
        return pocketllm(
            "train", f"--bundle={opened.folder}", f"--train={data}", f"--run={run}",
            f"--steps={steps}", "--batch_size=2", "--threads=1", "--lr=1e-6",
        )  # fmt: skip

    assert train(bundle, 2).returncode == 0
    complaint(train(other, 3), 2, bundle.checksum[:12], other.checksum[:12])
    assert train(same, 3).returncode == 0, "the same inputs: the run goes on"
