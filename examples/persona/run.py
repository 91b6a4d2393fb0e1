#!/usr/bin/env python3
"""A made-up household, learnt by SmolLM2-135M-Instruct: its answers before and after.

    examples/persona/run.py MODEL OUT

MODEL is the checkpoint's folder or its GGUF file, OUT a new folder. The bundle is exported, trained
with Adam and with MeZO on the same rows, 60 questions and answers of the household and 30 of
everyday life, and asked before and after: the 60, 40 of them in other words, and 20 general
questions that no row has. OUT/result.json then holds every answer.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from checker import holds

DATA = Path(__file__).parent
GROUPS = {
    "household": "household, as trained",
    "other_wordings": "household, in other words",
    "general": "general",
}
REHEARSED = "everyday"  # learnt along, so that what the model knew stays
STATES = ("untuned", "adam", "mezo")
PAIRS = {"household": 5, "other_wordings": 3, "general": 2}  # printed, before and after
LORA_TARGETS = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
MAX_NEW_TOKENS = 32


def pocketllm(command: str, **flags) -> float:
    """Runs a command, which prints for itself; returns its wall time in seconds."""
    words = [command, *(f"--{name}={value}" for name, value in flags.items())]
    print("\n$ pocketllm", *words, flush=True)
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "pocketllm.runtime.cli", *words])
    if done.returncode:
        sys.exit(done.returncode)
    return time.monotonic() - begin


def rows_of(group: str, count: int | None) -> list[dict]:
    """Returns the first chats of a file, all where `count` is None."""
    lines = (DATA / f"{group}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Writes chats as JSONL."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def train(out: Path, optimizer: str, *, steps: int, lr: float, lr_schedule: str, seed: int) -> dict:
    """Trains a run of OUT; returns what it took."""
    path, before = out / f"{optimizer}-train.json", os.times()
    seconds = pocketllm(
        "train", bundle=out / "bundle", train=out / "train.jsonl", run=out / optimizer,
        optimizer=optimizer, steps=steps, lr=lr, lr_schedule=lr_schedule,
        seed=seed, json=path,
    )  # fmt: skip
    after = os.times()
    system_seconds = after.children_system - before.children_system
    return {
        "steps": steps,
        "lr": lr,
        "lr_schedule": lr_schedule,
        "seed": seed,
        "seconds": round(seconds, 1),
        "core_seconds": round(after.children_user - before.children_user + system_seconds, 1),
        "peak_anon_bytes": json.loads(path.read_text(encoding="utf-8"))["peak_anon_bytes"],
    }


def answers(out: Path, state: str) -> list[str]:
    """Asks all questions in a state of the model."""
    run = {} if state == "untuned" else {"run": out / state}
    path = out / f"{state}-answers.json"
    pocketllm(
        "generate", bundle=out / "bundle", **run, data=out / "questions.jsonl",
        max_new_tokens=MAX_NEW_TOKENS, json=path,
    )  # fmt: skip
    return [entry["text"].strip() for entry in json.loads(path.read_text(encoding="utf-8"))]


def entries_of(rows: dict[str, list[dict]], texts: dict[str, list[str]]) -> list[dict]:
    """Returns for each question its group, the fact, and what each state answered."""
    facts = json.loads((DATA / "facts.json").read_text(encoding="utf-8"))
    questions = [(group, row["messages"][-2]["content"]) for group in rows for row in rows[group]]
    return [
        {
            "group": group,
            "question": question,
            "fact": facts[question],
            "answers": {state: texts[state][index] for state in STATES},
            "right": {
                state: holds(texts[state][index], facts[question]) for state in STATES
            },
        }
        for index, (group, question) in enumerate(questions)
    ]  # fmt: skip


def table(entries: list[dict], runs: dict[str, dict]) -> list[str]:
    """Returns the lines of the table: how many answers hold the fact."""
    titles = ["untuned", *(f"{run}, {values['steps']} steps" for run, values in runs.items())]
    lines = [["answers with the fact", *titles]]
    for group, title in GROUPS.items():
        rights = [entry["right"] for entry in entries if entry["group"] == group]
        counts = [sum(right[state] for right in rights) for state in STATES]
        of = len(rights)
        lines.append([f"{of} {title}", *(f"{n} ({n / of:.0%})" for n in counts)])
    lines.append(["training", "", *(f"{values['seconds']:.0f} s" for values in runs.values())])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines]


def pairs(entries: list[dict]) -> list[str]:
    """Returns the lines of some questions of each group, with the answers before and after."""
    lines = []
    for group, count in PAIRS.items():
        members = [entry for entry in entries if entry["group"] == group]
        for entry in members[:: -(-len(members) // count)]:
            before, after = entry["answers"]["untuned"], entry["answers"]["adam"]
            lines += [entry["question"], f"  before: {before!r}", f"  after:  {after!r}"]
    return lines


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--adam_steps", type=int, default=120)
    parser.add_argument("--adam_lr", type=float, default=2e-3)
    parser.add_argument("--mezo_steps", type=int, default=300)
    parser.add_argument("--mezo_lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0, help="of LoRA's A, batches and directions")
    parser.add_argument("--rows", type=int, help="the first of each file alone")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    out = options.out
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        sys.exit(f"error: {out} exists; name a new folder")
    rows = {group: rows_of(group, options.rows) for group in GROUPS}
    learnt = rows["household"] + rows_of(REHEARSED, options.rows)
    # The export makes OUT, and refuses a wrong MODEL before that.
    export_seconds = pocketllm(
        "export", model=options.model, task="chat", tune="lora", lora_targets=LORA_TARGETS,
        base="int8", optimizers="mezo,adam", lengths=56, seed=options.seed, out=out / "bundle",
    )  # fmt: skip
    write_rows(out / "train.jsonl", learnt)
    write_rows(out / "questions.jsonl", [row for group in GROUPS for row in rows[group]])
    runs = {
        "adam": train(
            out, "adam", steps=options.adam_steps, lr=options.adam_lr, lr_schedule="linear",
            seed=options.seed,
        ),
        "mezo": train(
            out, "mezo", steps=options.mezo_steps, lr=options.mezo_lr, lr_schedule="constant",
            seed=options.seed,
        ),
    }  # fmt: skip
    entries = entries_of(rows, {state: answers(out, state) for state in STATES})
    result = {"export_seconds": round(export_seconds, 1), "runs": runs, "questions": entries}
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("", *table(entries, runs), "", *pairs(entries), sep="\n")


if __name__ == "__main__":
    main()
