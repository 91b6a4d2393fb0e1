"""Special tokens that a row's text spells, in the rows of every masked architecture: text."""

import json

import encoder_cases
import pytest
import tiny
from tokenizers import Tokenizer

from pocketllm.export.checkpoint.special_spellings import special_spellings
from pocketllm.export.checkpoint.tokenizer import read_tokenizer, special_ids
from pocketllm.export.models import ARCHITECTURES
from pocketllm.export.tasks.own_data import text_task
from pocketllm.runtime import contract
from pocketllm.runtime.data.encode_masked import encode
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.data.reader import Example

pytestmark = pytest.mark.desktop

WRITERS = {
    "roberta": tiny.write_tokenizer,
    "bert": encoder_cases.write_word_pieces,
    "distilbert": encoder_cases.write_word_pieces,
    "modernbert": encoder_cases.write_byte_pairs,
}
PLAIN = "{text} it was {mask}."
FORMS = ("{}", "a {} film", "film{0}{0}", "{} \n {}")


@pytest.fixture(scope="module", params=WRITERS)
def tokenizer_and_special(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    rows = WRITERS[request.param](folder)
    (folder / "config.json").write_text(json.dumps({"model_type": request.param}))
    usual = ARCHITECTURES[request.param].special_tokens
    source = read_tokenizer(folder, usual, request.param, rows + 8)
    spelled = special_spellings(source, usual, contract.MASKED)
    return source.tokenizer, special_ids(source.tokenizer, spelled, contract.MASKED)


def row_of(prompt, text, tokenizer, special):
    task = text_task(prompt, "0:terrible,1:great")
    row_format = RowFormat(task, tokenizer, special, contract.WORDS, (), 256, 0)
    row = encode(Example({"text": text}, 0, 2), row_format)
    return row.input_ids.tolist(), row.target[contract.MASK_POSITION]


def test_a_text_yields_no_special_token_and_the_mask_is_the_templates(tokenizer_and_special):
    tokenizer, special = tokenizer_and_special
    tokens = [t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special]
    assert len(tokens) >= 5
    values = json.loads(tokenizer.to_str()) | {"added_tokens": []}
    without = Tokenizer.from_str(json.dumps(values))
    unknown = {tokenizer.token_to_id(token) for token in ("<unk>", "[UNK]")}

    for text in (form.format(token, token) for token in tokens for form in FORMS):
        ids, place = row_of(PLAIN, text, tokenizer, special)
        spelled = without.encode(text, add_special_tokens=False).ids
        assert ids[0] == special.bos and ids[-1] == special.eos
        assert ids[1 : 1 + len(spelled)] == spelled
        assert ids[place] == special.mask and ids.count(special.mask) == 1
        inside = set(ids[1:place]) - unknown
        assert not inside & {special.bos, special.eos, special.pad, special.mask}


def test_a_special_token_of_the_template_is_that_token(tokenizer_and_special):
    tokenizer, special = tokenizer_and_special
    eos = tokenizer.id_to_token(special.eos)

    ids, _ = row_of("{text}" + eos + PLAIN[6:], f"a {eos}", tokenizer, special)

    assert ids.count(special.eos) == 2
