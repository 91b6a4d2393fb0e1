"""What the reference makes of published rows, written from its description and nothing of ours.

Per row: the prompt, the texts with each option behind it, and the right options, first to train on.
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOKENIZER = ROOT / "tflite_models" / "roberta_tokenizer"
EXCERPTS = ROOT / "tests" / "golden" / "superglue"
BOS = 0
YES_NO, NO_YES = ("Yes", "No"), ("No", "Yes")


def published(name):
    """Returns the rows of an excerpt as Python values."""
    if name == "sst2":
        lines = (EXCERPTS / "sst2.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
        return [dict(zip(("sentence", "label"), line.split("\t"))) for line in lines]
    lines = (EXCERPTS / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def reference(name):
    """Returns (prompt, texts, golds) of every example of an excerpt."""
    return [example for row in published(name) for example in OF_TASK[name](row)]


def classes(prompt, options, gold):
    return [(prompt, [prompt + option for option in options], [gold])]


def sst2(row):
    return classes(f"{row['sentence'].strip()} It was", (" terrible", " great"), int(row["label"]))


def rte(row):
    prompt = f'{row["premise"]}\nDoes this mean that "{row["hypothesis"]}" is true? Yes or No?\n'
    return classes(prompt, YES_NO, 0 if row["label"] == "entailment" else 1)


def cb(row):
    question = f'Can we infer that "{row["hypothesis"]}"? Yes, No, or Maybe?'
    gold = {"entailment": 0, "contradiction": 1, "neutral": 2}[row["label"]]
    return classes(f"Suppose {row['premise']} {question}\n", ("Yes", "No", "Maybe"), gold)


def boolq(row):
    question = row["question"] if row["question"].endswith("?") else row["question"] + "?"
    question = question[0].upper() + question[1:]
    return classes(f"{row['passage']} {question}\n", YES_NO, 0 if row["answer"] else 1)


def wsc(row):
    spans = row["target"]
    question = (
        f'In the previous sentence, does the pronoun "{spans["span2_text"].lower()}" refer to '
        f"{spans['span1_text']}? Yes or No?"
    )
    return classes(f"{row['text']}\n{question}\n", NO_YES, int(row["label"]))


def wic(row):
    question = f'Does the word "{row["word"]}" have the same meaning in these two sentences?'
    prompt = f"{question} Yes, No?\n{row['sentence1']}\n{row['sentence2']}\n"
    return classes(prompt, NO_YES, int(row["label"]))


def multirc(row):
    return [
        example
        for question in row["passage"]["questions"]
        for answer in question["answers"]
        for example in classes(
            f"{row['passage']['text']}\nQuestion: {question['question']}\n"
            f'I found this answer "{answer["text"]}". Is that correct? Yes or No?\n',
            NO_YES,
            answer["label"],
        )
    ]


def copa(row):
    premise = row["premise"].rstrip()
    premise = premise[:-1] if premise.endswith(".") else premise
    prompt = premise + {"effect": " so ", "cause": " because "}[row["question"]]
    choices = []
    for choice in (row["choice1"], row["choice2"]):
        words = choice.split(" ")
        if words[0] != "I":
            words[0] = words[0].lower()
        choices.append(" ".join(words))
    return classes(prompt, choices, row["label"])


def record(row):
    text = row["passage"]["text"]
    entities = []
    for span in row["passage"]["entities"]:
        entity = text[span["start"] : span["end"] + 1]
        if entity not in entities:
            entities.append(entity)
    prompt = text.replace("@highlight\n", "- ") + "\n-"
    examples = []
    for qa in row["qas"]:
        answers = []
        for answer in qa["answers"]:
            if answer["text"] not in answers:
                answers.append(answer["text"])
        texts = [f"{prompt} {qa['query'].replace('@placeholder', entity)}" for entity in entities]
        examples.append((prompt, texts, [entities.index(answer) for answer in answers]))
    return examples


OF_TASK = {
    "sst2": sst2, "rte": rte, "cb": cb, "boolq": boolq, "wsc": wsc, "wic": wic,
    "multirc": multirc, "copa": copa, "record": record,
}  # fmt: skip


def reference_ids(ids, prompt, texts, max_length=2048):
    """Tokenises as the reference does.

    Args:
      ids: text -> token ids, no special tokens.
      prompt: what is not scored.
      texts: prompt and option.
      max_length: most tokens; the left is cut, but for <s>.

    Returns:
      For each text its ids, <s> in front, and how many of them are scored.
    """
    before = 1 + len(ids(prompt.strip(" ")))
    encodings = []
    for text in texts:
        scored = 1 + len(ids(text.strip(" "))) - before
        whole = [BOS, *ids(text.lstrip().strip(" "))]
        encodings.append((whole[0:1] + whole[1:][-(max_length - 1) :], scored))
    return encodings
