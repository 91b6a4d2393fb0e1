"""`bench --generate`: its workers on a tiny model, its table, and what it refuses."""

import json

import pytest
from small_runs import complaint, pocketllm, python

from pocketllm.benchmarks.bench.generation import command, copying
from pocketllm.runtime.host.cpu import describe_machine

pytestmark = pytest.mark.desktop

REQUEST = {"threads": 1, "prompt_tokens": 8, "new_tokens": 12, "repeats": 2, "seed": 3}


def measured(module, bundle):
    """Runs a worker; returns (its result, its stages)."""
    request = json.dumps(REQUEST | {"bundle": str(bundle.folder)})
    out = bundle.folder.parent / "result.json"
    done = python(
        f"import sys, runpy; sys.argv = ['', {request!r}, {str(out)!r}]\n"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout.splitlines()


def test_both_sides_write_the_same_tokens(make_decoder, make_bundle):
    bundle = make_bundle(make_decoder(case="llama"), task="sft", lengths=(8, 16), context=64)
    ours, stages = measured(command.OURS, bundle)
    theirs, other_stages = measured(command.THEIRS, bundle)

    assert len(stages) == len(other_stages) == REQUEST["repeats"] + 2
    assert len(ours["token_ids"]) == 12 and ours["token_ids"] == theirs["token_ids"]
    for side in (ours, theirs):
        assert len(side["decode_seconds"]) == len(side["prefill_seconds"]) == 2
        assert min(side["prefill_seconds"]) > 0 and side["peak_anon_bytes"] > 0
    # Every matrix, and the tied head: float32.
    matrices = sum(4 * p.shape[0] * p.shape[1] for p in bundle.parameters if len(p.shape) == 2)
    assert ours["bytes_per_token"] == matrices


def test_the_table_has_a_line_a_side():
    sides = {"int8": (2.0, 100), "pytorch": (4.0, None)}
    result = {
        name: {
            "prefill_seconds": [0.5],
            "decode_seconds": [seconds],
            "token_ids": [1, 2, 3],
            "peak_anon_bytes": 10**9,
        }
        | ({"bytes_per_token": size} if size else {})
        for name, (seconds, size) in sides.items()
    }
    values = type("Values", (), {"new_tokens": 129, "prompt_tokens": 128})
    ours, theirs = (command.summary(result[name], values) for name in sides)
    text = command.table(
        {
            "model": "m", "new_tokens": 129, "prompt_tokens": 128, "threads": 1,
            "machine": describe_machine(), "copy_bytes_per_second": 5e9,
            "ours": {"lora int8": ours}, "pytorch": theirs,
        }
    )  # fmt: skip

    assert (ours["decode_tokens_per_second"], ours["weight_bytes_per_second"]) == (64, 6400)
    assert ours["prefill_tokens_per_second"] == 256
    assert "copying memory 5.0 GB/s" in text
    (line,) = [line for line in text.splitlines() if line.startswith("lora int8")]
    assert line.split() == ["lora", "int8", "64.0", "2.00", "256.0", "0.00", "1.000", "3"]


@pytest.mark.parametrize(
    ("given", "positions", "fitting"),
    [
        ({}, 4096, (128, 128)),
        ({}, 128, (64, 64)),
        ({}, 129, (64, 64)),
        ({"prompt_tokens": 100}, 128, (100, 28)),
        ({"new_tokens": 40}, 128, (88, 40)),
        ({"prompt_tokens": 300}, 512, (300, 128)),
        ({"prompt_tokens": 8, "new_tokens": 120}, 128, (8, 120)),
    ],
)
def test_tokens_that_no_flag_gave_fit_the_models_positions(given, positions, fitting):
    values = command.FLAGS
    values.unparse_flags()
    values(["bench", *(f"--{name}={count}" for name, count in given.items())])

    assert command.fitting(values, positions) == fitting


def test_the_rate_of_copying_is_measured():
    request = {"threads": 2, "bytes": 1 << 20}

    assert copying.measure(request, print)["copy_bytes_per_second"] > 1e8


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--generate"], ["--model is missing"]),
        (["--generate", "--model=none"], ["--model=none", "smollm2-135m"]),
        (["--generate", "--model=opt-125m", "--batch_sizes=8"], ["--batch_sizes", "--generate"]),
        (["--model=opt-125m", "--new_tokens=9"], ["--new_tokens goes with --generate"]),
        (["--generate", "--model=bert-base"], ["--model=bert-base: bert models", "write no text"]),
        (
            ["--generate", "--model=opt-micro", "--prompt_tokens=127"],
            ["--prompt_tokens=127: expected at most 128 tokens", "that opt-micro has; give fewer"],
        ),
    ],
)
def test_flags_that_do_not_go_together_are_refused(arguments, texts):
    complaint(pocketllm("bench", *arguments), 2, *texts)
