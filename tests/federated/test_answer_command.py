"""`pocketllm federate answer`: a question in a file becomes an answer, and no row is quoted."""

import json
import shutil

import pytest
from bundle_json import alter_hash
from small_runs import rows, write_tsv

from pocketllm.federated.protocol import BEHIND, Question, pack_question, read_answer
from pocketllm.runtime import cli


@pytest.fixture
def answer(golden_bundle, tmp_path):
    """Calls the command with the client's own data, unless flags name other data."""
    data = write_tsv(tmp_path / "own.tsv", rows(6, seed=5))

    def call(*flags):
        return cli.main(
            ["federate", "answer", f"--bundle={golden_bundle.folder}", f"--train={data}",
             f"--run={tmp_path / 'run'}", "--threads=1", *flags]
        )  # fmt: skip

    return call


def test_a_client_without_a_journal_answers_that_it_has_nothing(answer, tmp_path):
    question = Question(7, first=1, steps=1, start=0, header_checksum=0)
    (tmp_path / "question").write_bytes(pack_question(question))

    code = answer(f"--question={tmp_path / 'question'}", f"--json={tmp_path / 'json'}")

    assert code == cli.DONE
    reply = read_answer(bytes.fromhex(json.loads((tmp_path / "json").read_text())["answer"]))
    assert (reply.kind, reply.attempt, reply.steps) == (BEHIND, 7, 0)


def test_without_a_question_bundle_and_data_are_checked_and_nothing_is_answered(
    answer, tmp_path, capsys
):
    assert answer(f"--json={tmp_path / 'json'}") == cli.DONE

    assert "answer" not in json.loads((tmp_path / "json").read_text())
    assert "examples" not in capsys.readouterr().out


def test_data_that_cannot_be_used_is_quoted_in_the_run_alone(answer, tmp_path, capsys):
    bad = write_tsv(tmp_path / "bad.tsv", [("my secret", "perhaps")])

    assert answer(f"--train={bad}") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert str(tmp_path / "run" / "refused.txt") in error and error.count("\n") == 1
    assert "secret" not in error and "perhaps" not in error
    assert "perhaps" in (tmp_path / "run" / "refused.txt").read_text()


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"hello", "a message that is no question")]
)
def test_what_is_no_question_is_refused_in_one_line(content, words, answer, tmp_path, capsys):
    if content:
        (tmp_path / "question").write_bytes(content)

    assert answer(f"--question={tmp_path / 'question'}") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_client_that_draws_other_directions_answers_nothing(
    answer, golden_bundle, tmp_path, capsys
):
    other = shutil.copytree(golden_bundle.folder, tmp_path / "other")
    alter_hash(other)
    (tmp_path / "question").write_bytes(pack_question(Question(7, 1, 1, 0, 0)))

    code = answer(
        f"--bundle={other}", f"--question={tmp_path / 'question'}", f"--json={tmp_path / 'json'}"
    )

    assert code == cli.FAILED
    assert "draws another direction z than the reference" in capsys.readouterr().err
    assert not (tmp_path / "json").exists()
