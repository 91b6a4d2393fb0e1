"""Encoders against transformers and PEFT, exported and delegated, both engines where fp32."""

import json

import encoder_cases
import numpy as np
import pytest
from conftest import ENGINES
from delegate import MATMULS, nodes_of, partitions_of
from forward import forward_inputs, model_forward, relative_error
from gradients import TOLERANCE as GRADIENT_TOLERANCE
from gradients import export_gradients, gradients_in
from opt_forward import torch_scores
from small_runs import pocketllm, rows, run_config, write_tsv
from trajectory import checkpoint_layout, compare
from tuned import lora_bundle, random_state

from pocketllm.runtime.contract import LOGITS, LOSS, WEIGHT_SUM, forward_loss_for
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.run.loop import train

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64
STEPS_TOLERANCE = 1e-4
TOKENS = 16
SEED = 11  # of what is trained: some draws magnify float32's rounding, PyTorch's too, to 1e-5
# Tables of several chunks, the last one cut off, and matrices of several too.
PIECES = {"chunk_values": 16 * 50, "linear_values": 16 * 16}
PLAIN = {model_type: model_type for model_type, _ in encoder_cases.CASES.values()}
# Error of the logits of a tiny random model: int8 measured at 0.02, int4 at 0.3.
BASES = {"int8": 0.06, "int4": 0.6}


@pytest.fixture(scope="module")
def exported(make_encoder, tmp_path_factory):
    """Exports a case with a tuning, its `adam_step` returning gradients: (checkpoint, bundle)."""
    bundles = {}

    def make(case, kind):
        if (case, kind) not in bundles:
            model_type, changes = encoder_cases.CASES[case]
            checkpoint = make_encoder(model_type=model_type, **changes)
            folder = tmp_path_factory.mktemp("encoder") / "bundle"
            pieces = PIECES if kind == "full" else {}
            settings = {"kind": kind, "lengths": (TOKENS,), **pieces}
            bundles[case, kind] = checkpoint, export_gradients(checkpoint, folder, **settings)
        return bundles[case, kind]

    return make


def inputs_of(bundle):
    return forward_inputs(TOKENS, bundle.config["vocab_size"], seed=5)


def check(bundle, values, expected, open_ready):
    """Asserts loss, logits and gradients of both engines; `expected` is that of PyTorch."""
    from adam_reference import INVARIANT

    inputs = inputs_of(bundle)
    loss, logits, gradients = expected
    assert np.ptp(logits) > 0.3, "logits that hardly vary prove nothing"
    scale = max(np.abs(gradient).max() for gradient in gradients.values())
    for engine in ENGINES:
        model = open_ready(bundle, engine)
        if values:
            random_state(model, SEED)
        actual = model.engine.run(forward_loss_for(TOKENS), **inputs)
        assert relative_error(actual[LOSS], [loss]) <= TOLERANCE, engine
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE, engine
        assert actual[WEIGHT_SUM] == [3] and np.isfinite(actual[LOGITS]).all()
        ours = gradients_in(model, inputs, TOKENS)
        assert ours.keys() == gradients.keys()
        for name, gradient in gradients.items():
            if name.endswith(INVARIANT):
                assert np.abs(ours[name]).max() <= 1e-6 * scale, (name, engine)
            else:
                error = relative_error(ours[name], gradient)
                assert error <= GRADIENT_TOLERANCE, (name, engine, error)


def losses_and_gradients(bundle, model, tensors):
    """Returns (loss, logits, {parameter: gradient}) of PyTorch's model, in float64."""
    import torch
    from prefix_reference import prefixed

    for tensor in tensors.values():
        tensor.requires_grad_()
    with prefixed(bundle, tensors):
        loss, logits, _ = torch_scores(model, bundle, inputs_of(bundle))
    derived = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True)
    gradients = {
        name: np.zeros(tensor.shape) if gradient is None else gradient.numpy()
        for (name, tensor), gradient in zip(tensors.items(), derived)
    }
    return loss.item(), logits.detach().numpy(), gradients


@pytest.mark.parametrize("case", encoder_cases.CASES)
def test_losses_and_gradients_are_those_of_transformers(case, exported, open_ready):
    import torch
    from adam_reference import TorchAdam

    checkpoint, bundle = exported(case, "full")
    theirs = TorchAdam(checkpoint, bundle, torch.float64)

    check(bundle, None, losses_and_gradients(bundle, theirs.model, theirs.tensors), open_ready)


@pytest.mark.parametrize("kind", ["lora", "prefix"])
@pytest.mark.parametrize("case", PLAIN)
def test_losses_and_gradients_of_what_is_added_are_those_of_pytorch(
    case, kind, exported, open_ready
):
    import torch
    from adam_reference import TorchAdam

    checkpoint, bundle = exported(case, kind)
    values = random_state(open_ready(bundle, "litert"), SEED)
    theirs = TorchAdam(checkpoint, bundle, torch.float64, values)
    tensors = {name: tensor.detach().double() for name, tensor in theirs.tensors.items()}
    tensors = theirs.tensors if kind == "lora" else tensors

    check(bundle, values, losses_and_gradients(bundle, theirs.model, tensors), open_ready)


@pytest.mark.parametrize("case", PLAIN)
def test_the_label_words_rows_of_the_head_are_trained(case, make_encoder, make_bundle, open_ready):
    import torch
    from peft_reference import torch_model

    model_type, changes = encoder_cases.CASES[case]
    checkpoint = make_encoder(model_type=model_type, **changes)
    bundle = make_bundle(checkpoint, kind="head", lengths=(TOKENS,))
    values = random_state(open_ready(bundle, "litert"), seed=7)
    theirs, ids = torch_model(checkpoint, bundle).double().eval(), list(bundle.word_ids)
    decoder = theirs.get_output_embeddings()
    decoder.weight = torch.nn.Parameter(decoder.weight.detach().clone())  # no longer tied
    with torch.no_grad():
        decoder.weight[ids] = torch.tensor(values["lm_head.words.weight"]).double()
        decoder.bias[ids] = torch.tensor(values["lm_head.words.bias"]).double()
    loss, logits = model_forward(theirs, inputs_of(bundle), ids)

    for engine in ENGINES:
        model = open_ready(bundle, engine)
        random_state(model, seed=7)
        actual = model.engine.run(forward_loss_for(TOKENS), **inputs_of(bundle))
        assert relative_error(actual[LOSS], loss) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.parametrize("case", PLAIN)
def test_twenty_steps_follow_pytorch_and_become_a_checkpoint(case, exported, open_ready, tmp_path):
    import transformers

    from pocketllm.export.models import architecture_in_bundle

    checkpoint, bundle = exported(case, "full")
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    config = run_config(bundle, data, steps=20, lr=5e-4, eps=1e-2, batch_size=7, weight_decay=0.2)
    model, run = open_ready(bundle, "litert"), tmp_path / "run"
    loss_error, errors, moved, losses = compare(
        bundle, checkpoint, data, config, model=model, folder=run
    )
    print(f"{case}: losses {loss_error:.1e}, parameters {max(errors.values()):.1e}")
    assert max(loss_error, *errors.values()) <= STEPS_TOLERANCE
    assert min(moved.values()) > 20 * STEPS_TOLERANCE and np.ptp(losses) > 0.01

    flags = [f"--bundle={bundle.folder}", f"--run={run}", f"--out={tmp_path / 'out'}"]
    done = pocketllm("replay", *flags, timeout=300)
    assert done.returncode == 0, done.stderr
    kind = getattr(transformers, architecture_in_bundle(bundle).hf_class)
    theirs, loading = kind.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(loading.values()), loading
    _, logits = model_forward(theirs.double().eval(), inputs_of(bundle), bundle.word_ids)
    actual = model.engine.run(forward_loss_for(TOKENS), **inputs_of(bundle))
    assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("a great film").input_ids[1:-1] == list(
        transformers.AutoTokenizer.from_pretrained(checkpoint)("a great film").input_ids[1:-1]
    )


@pytest.mark.parametrize("case", PLAIN)
def test_peft_reads_the_adapter_that_replay_writes(case, exported, open_ready, tmp_path):
    import torch
    from peft import AutoPeftModel

    checkpoint, bundle = exported(case, "lora")
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    model = open_ready(bundle, "litert")
    before = model.engine.run(forward_loss_for(TOKENS), **inputs_of(bundle))[LOGITS]
    train(model, data, tmp_path / "run", run_config(bundle, data, steps=8, lr=0.05, eps=0.05))
    out = tmp_path / "out"
    flags = [f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}", f"--out={out}"]
    done = pocketllm("replay", *flags, f"--base_model={checkpoint}", timeout=300)
    assert done.returncode == 0, done.stderr

    theirs = AutoPeftModel.from_pretrained(out, dtype=torch.float32).double().eval()
    _, logits = model_forward(theirs, inputs_of(bundle), bundle.word_ids)
    actual = model.engine.run(forward_loss_for(TOKENS), **inputs_of(bundle))[LOGITS]
    assert relative_error(actual[:2], logits) <= TOLERANCE
    assert relative_error(before, actual) > 1e-3, "the adapter counts"
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["modules_to_save"] is None and checkpoint_layout(bundle, model).keys()


@pytest.mark.parametrize("case", [case for case in encoder_cases.CASES if case not in PLAIN])
def test_peft_reads_the_modules_of_an_untied_head(case, make_encoder, make_bundle, tmp_path):
    import torch
    from peft import AutoPeftModel

    model_type, changes = encoder_cases.CASES[case]
    checkpoint = make_encoder(model_type=model_type, **changes)
    settings = {"rank": 2, "extras": "lm_head"}
    bundle = lora_bundle(make_bundle, checkpoint, settings, lengths=(TOKENS,))
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    model = open_model(bundle, engine="litert", threads=1)
    model.initialize()
    train(model, data, tmp_path / "run", run_config(bundle, data, steps=8, lr=1e-3, eps=0.05))
    flags = [f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'out'}"]
    done = pocketllm("replay", *flags, f"--base_model={checkpoint}", timeout=300)
    assert done.returncode == 0, done.stderr

    theirs = AutoPeftModel.from_pretrained(tmp_path / "out", dtype=torch.float32).double().eval()
    _, logits = model_forward(theirs, inputs_of(bundle), bundle.word_ids)
    actual = model.engine.run(forward_loss_for(TOKENS), **inputs_of(bundle))[LOGITS]
    assert relative_error(actual[:2], logits) <= TOLERANCE
    saved = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["modules_to_save"]
    heads = {name.split(".")[0] for name in (p.name for p in bundle.parameters)} - {"model"}
    assert {name.split(".")[0] for name in saved} == heads - {"bert", "distilbert"}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("case", PLAIN)
def test_every_product_on_integers_is_in_the_delegate(
    case, base, exported, make_bundle, open_ready
):
    checkpoint, fp32 = exported(case, "lora")
    bundle = make_bundle(checkpoint, kind="lora", base=base, lengths=(TOKENS,))
    model = open_ready(bundle, "litert", interpreter=True)
    nodes = nodes_of(model.engine._interpreter)
    partitions = partitions_of(nodes)
    products = [index for index, (name, _, _) in enumerate(nodes) if name in MATMULS]
    assert len(products) > 6 * bundle.config["num_hidden_layers"]
    for index in products:
        assert sum(index in inside for inside in partitions) == 1, nodes[index]

    expected = open_ready(fp32, "litert").engine.run(forward_loss_for(TOKENS), **inputs_of(fp32))
    actual = model.engine.run(forward_loss_for(TOKENS), **inputs_of(bundle))
    error = relative_error(actual[LOGITS], expected[LOGITS])
    print(f"{case}, {base}: logits within {error:.3f}")
    assert 0 < error <= BASES[base]
