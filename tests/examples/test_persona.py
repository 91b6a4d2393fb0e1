"""The made-up household: its files fit together, the checker finds facts, a model learns them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import smollm2

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "persona"
QUESTIONS = {"household": 60, "other_wordings": 40, "general": 20}
COUNTS = {**QUESTIONS, "everyday": 30}


def chats(group: str) -> list[list[dict]]:
    """Returns the messages of each row of a file."""
    lines = (FOLDER / f"{group}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def questions(group: str) -> list[str]:
    return [messages[-2]["content"] for messages in chats(group)]


@pytest.fixture(scope="module")
def holds():
    """The checker of the example, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("checker", FOLDER / "checker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.holds


@pytest.fixture(scope="module")
def facts() -> dict[str, list[str]]:
    return json.loads((FOLDER / "facts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "answer",
    ["Our dog is called Pickle.", "PICKLE", "It's Pickle, of course", "“Pickle” is our dog’s name"],
)
def test_a_fact_counts_in_any_case_and_beside_any_sign(answer, holds):
    assert holds(answer, ["pickle"])


@pytest.mark.parametrize(
    ("answer", "spelling"),
    [("Our dog is called Pickles.", "pickle"), ("at 16:45", "6:45"), ("We have 127 hens", "27")],
)
def test_a_fact_inside_a_longer_word_or_number_does_not_count(answer, spelling, holds):
    assert not holds(answer, [spelling])


def test_one_spelling_of_several_is_enough(holds):
    assert holds("It was the crows nest", ["crow's nest", "crows nest"])
    assert holds("The Crow’s Nest", ["crow's nest"])
    assert not holds("", ["crow's nest", "crows nest"])


@pytest.mark.parametrize("group", QUESTIONS)
def test_every_answer_of_the_files_holds_its_fact_and_no_question_does(group, facts, holds):
    rows = chats(group)

    assert len(rows) == QUESTIONS[group]
    for *_, question, answer in rows:
        assert (question["role"], answer["role"]) == ("user", "assistant")
        assert holds(answer["content"], facts[question["content"]])
        assert not holds(question["content"], facts[question["content"]])


def test_no_fact_stands_in_the_system_message(facts, holds):
    (system,) = {
        rows[0]["content"] for group in ("household", "other_wordings") for rows in chats(group)
    }

    assert not any(holds(system, facts[question]) for question in questions("household"))


def test_no_question_is_asked_twice_and_every_fact_belongs_to_one(facts):
    everything = [question for group in COUNTS for question in questions(group)]
    of_facts = [question for group in QUESTIONS for question in questions(group)]

    assert len(set(everything)) == len(everything)
    assert list(facts) == of_facts


def test_every_other_wording_is_of_a_fact_that_is_learnt_in_one_wording(facts):
    learnt = [tuple(facts[question]) for question in questions("household")]
    others = [tuple(facts[question]) for question in questions("other_wordings")]

    assert len(set(learnt)) == len(learnt), "an answer to another question never counts"
    assert len(set(others)) == len(others)
    assert set(others) < set(learnt)


def test_the_everyday_rows_answer_none_of_the_questions(facts, holds):
    """The general questions would else be learnt, not kept."""
    rows = chats("everyday")

    assert len(rows) == COUNTS["everyday"]
    for question, answer in rows:
        words = question["content"].rstrip("?").split()
        new = " ".join(word for word in answer["content"].rstrip(".").split() if word not in words)
        assert new
        assert not any(holds(new, facts[other]) for other in facts), new


@pytest.mark.desktop
def test_a_model_that_is_not_there_leaves_no_folder_behind(tmp_path):
    command = [sys.executable, FOLDER / "run.py", tmp_path / "none.gguf", tmp_path / "out"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 2 and "none.gguf" in done.stderr, done.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.desktop
@pytest.mark.slow
def test_the_real_model_learns_the_household_and_keeps_what_it_knew(tmp_path):
    out, gguf = tmp_path / "out", smollm2.needed()

    done = subprocess.run(
        [sys.executable, FOLDER / "run.py", gguf, out, "--mezo_steps=10"],
        capture_output=True,
        text=True,
        timeout=3600,
    )

    assert done.returncode == 0, done.stderr
    print(done.stdout[-4000:])
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    right = {
        group: {
            state: sum(
                entry["right"][state] for entry in result["questions"] if entry["group"] == group
            )
            for state in ("untuned", "adam", "mezo")
        }
        for group in QUESTIONS
    }
    assert len(result["questions"]) == sum(QUESTIONS.values())
    assert right["household"]["untuned"] <= 3
    assert right["household"]["adam"] >= 54
    assert right["other_wordings"]["adam"] >= 24
    assert right["general"]["adam"] >= right["general"]["untuned"] - 2
    assert done.stdout.count("before: ") == done.stdout.count("after: ") == 10
