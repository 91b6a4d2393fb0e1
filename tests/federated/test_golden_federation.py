"""A federation against a run without one: the same records, and the same parameters everywhere."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import ENGINES
from federations import ALL, client_of, parts_of, run_federation
from simulations import simulate
from small_runs import ZEROTH_ORDER, run_config, state_of, zeroth_order_config

from pocketllm.federated.example_slopes import row_losses
from pocketllm.federated.replica import Replica
from pocketllm.federated.steps import NO_DATA
from pocketllm.runtime import cli
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.journal.lines import read_steps
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.optim.mezo import mezo_step
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.restore import bring_to, point_of

pytest_plugins = ["runtime_fixtures"]

CLIENTS, EXAMPLES, BATCH = 4, 3, 2


@pytest.mark.parametrize("kind", ZEROTH_ORDER)
def test_one_clients_journal_is_that_of_a_run_without_a_federation(
    kind, golden_bundle, train_data, open_ready, tmp_path
):
    config = zeroth_order_config(kind, golden_bundle, train_data, weight_decay=0.1)
    config = replace(config, train_sha256=NO_DATA)
    train(open_ready(golden_bundle, "litert"), train_data, tmp_path / "central", config)

    client = client_of(tmp_path / "client", open_ready(golden_bundle, "litert"), train_data)
    server = run_federation(tmp_path / "server", config, [client])

    for name in (JOURNAL, "config.json"):
        assert (server / name).read_bytes() == (tmp_path / "central" / name).read_bytes()
    lines = [read_steps(folder, config.optimizer.step) for folder in (server, tmp_path / "central")]
    assert lines[0] == lines[1] and len(lines[0]) == config.settings.steps


def central(model, parts, config, together):
    """Takes MeZO's steps on the parts' batches, packed as one or part by part; returns them."""
    steps, whole = [], replace(parts[0], examples=[e for part in parts for e in part.examples])
    for number in range(1, config.settings.steps + 1):
        members, apart = [], []
        for place, part in enumerate(parts):
            own = step_members(len(part.examples), config.batch_size, config.seed, number)
            members += [place * EXAMPLES + member for member in own]
            apart += batches_of(part, model.bundle, own)
        batches = batches_of(whole, model.bundle, members) if together else apart
        seed = step_seed(config.seed, number)
        loss = partial(model.loss, batches)
        steps.append(mezo_step(model, loss, number, seed, config.settings))
    return steps


# Losses are float32: of 2.9 the last digit is 2.4e-7, which is 1.2e-5 of a projected gradient at
# this eps. Measured over 50 steps: 2.5e-5, and nothing where the rows are packed alike.
@pytest.mark.parametrize(("together", "within"), [(False, 1e-6), (True, 5e-5)])
def test_four_equal_parts_take_the_steps_of_a_run_on_the_joined_batch(
    together, within, golden_bundle, train_data, open_ready, tmp_path
):
    parts = parts_of(train_data, CLIENTS, EXAMPLES)
    changes = {"steps": 50, "batch_size": BATCH, "lr": 1e-3, "eps": 1e-2}
    config = run_config(golden_bundle, train_data, **changes)
    model = open_ready(golden_bundle, "litert")
    initial = {name: values.copy() for name, values in model.read()}
    expected = central(model, parts, config, together)

    clients = [
        client_of(tmp_path / str(n), open_ready(golden_bundle, "litert"), part)
        for n, part in enumerate(parts)
    ]
    server = run_federation(tmp_path / "server", config, clients)

    recorded = [step.losses for step in read_journal(server / JOURNAL).steps]
    slopes = [(plus - minus) / (2 * config.settings.eps) for plus, minus in recorded]
    wanted = [step.projected_grad for step in expected]
    assert max(map(abs, wanted)) > 1, "gradients of nothing prove nothing"
    np.testing.assert_allclose(slopes, wanted, atol=within, rtol=0)
    np.testing.assert_allclose(recorded, [s.losses for s in expected], atol=1e-4, rtol=0)
    replayed = open_ready(golden_bundle, "litert")
    bring_to(replayed, point_of(server, golden_bundle))
    moved = 0.0
    for (name, mine), (_, theirs) in zip(replayed.read(), model.read()):
        np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=0, err_msg=name)
        moved = max(moved, float(np.abs(theirs - initial[name]).max()))
    assert moved > 1e-2


def test_what_packing_changes_is_the_float32_mean_of_a_batch_alone(
    golden_bundle, train_data, open_ready
):
    """The rows' own losses, joined in float64, give the same slopes: 2.2e-14 against 1.5e-5."""
    eps, model = 1e-2, open_ready(golden_bundle, "litert")
    parts = parts_of(train_data, CLIENTS, EXAMPLES)
    joined = replace(train_data, examples=[e for part in parts for e in part.examples])
    together = batches_of(joined, golden_bundle)
    apart = [batch for part in parts for batch in batches_of(part, golden_bundle)]
    by_rows, by_means = 0.0, 0.0
    for number in range(1, 21):
        sides = []
        for scale in (eps, -2 * eps):
            model.perturb(step_seed(0, number), scale)
            rows = [np.concatenate([row_losses(model, b) for b in p]) for p in (together, apart)]
            means = [model.loss(batches) for batches in (together, apart)]
            sides.append([losses.mean() for losses in rows] + means)
        model.perturb(step_seed(0, number), eps)
        slopes = (np.array(sides[0]) - np.array(sides[1])) / (2 * eps)
        by_rows = max(by_rows, abs(slopes[0] - slopes[1]))
        by_means = max(by_means, abs(slopes[2] - slopes[3]))

    assert by_rows < 1e-9 and 1e-7 < by_means < 5e-5


@pytest.mark.parametrize("kind", ["mezo", "fzoo"])
def test_parameters_are_the_same_bits_on_the_server_and_all_clients_of_both_engines(
    kind, golden_bundle, train_data, open_ready, tmp_path
):
    engines = (ENGINES * 2)[:3]
    parts = parts_of(train_data, 3, 4)
    config = zeroth_order_config(kind, golden_bundle, train_data, steps=9, batch_size=3)
    models = [open_ready(golden_bundle, engine) for engine in engines]
    clients = [client_of(tmp_path / str(n), m, p) for n, (m, p) in enumerate(zip(models, parts))]

    server = run_federation(tmp_path / "server", config, clients, replace(ALL, round_steps=2))

    hashes = set()
    for number, engine in enumerate(engines):
        own = tmp_path / str(number)
        assert len(read_journal(own / JOURNAL).steps) == 8, "all but the last round's"
        hashes.add(_sha256_after(open_ready(golden_bundle, engine), own, 8))
    for engine in ENGINES:
        hashes.add(_sha256_after(open_ready(golden_bundle, engine), server, 8))
    assert len(hashes) == 1
    assert hashes != {Replica(open_ready(golden_bundle, "litert")).sha256()}, "they moved"


def test_a_replica_that_keeps_no_copy_measures_the_same(
    golden_bundle, train_data, open_ready, tmp_path
):
    config = run_config(golden_bundle, train_data)
    journals = []
    for resident in (True, False):
        model = open_ready(golden_bundle, "litert")
        client = client_of(tmp_path / f"client-{resident}", model, train_data)
        client = replace(client, replica=Replica(model, resident=resident))
        server = run_federation(tmp_path / f"server-{resident}", config, [client])
        journals.append((server / JOURNAL).read_bytes())

    assert journals[0] == journals[1]


def test_a_clients_model_is_after_a_round_where_it_was(
    golden_bundle, train_data, open_ready, tmp_path
):
    model = open_ready(golden_bundle, "litert")
    config = run_config(golden_bundle, train_data, steps=3, lr=0.0)
    client = client_of(tmp_path / "client", model, train_data)
    before = state_of(model)

    run_federation(tmp_path / "server", config, [client])

    for name, values in state_of(model).items():
        near = np.frombuffer(values, np.float32)
        np.testing.assert_allclose(near, np.frombuffer(before[name], np.float32), atol=1e-6)


def _sha256_after(model, folder, step):
    bring_to(model, point_of(folder, model.bundle, step))
    return Replica(model).sha256()


@pytest.mark.desktop
def test_lora_on_int8_has_the_same_bits_on_the_server_and_all_clients(
    make_checkpoint, make_bundle, train_file, open_ready, tmp_path
):
    bundle = make_bundle(make_checkpoint(), kind="lora", base="int8")
    parts = parts_of(load_dataset(train_file, bundle, training=True), 3, 4)
    config = run_config(bundle, parts[0], steps=7, batch_size=3, eps=1e-3)
    models = [open_ready(bundle, "litert", interpreter=n == 1) for n in range(3)]
    clients = [client_of(tmp_path / str(n), m, p) for n, (m, p) in enumerate(zip(models, parts))]

    server = run_federation(tmp_path / "server", config, clients)

    folders = [server, *(tmp_path / str(n) for n in range(3))]
    hashes = {_sha256_after(open_ready(bundle, "litert"), folder, 6) for folder in folders}
    hashes.add(_sha256_after(open_ready(bundle, "litert", interpreter=True), server, 6))
    assert len(hashes) == 1
    assert hashes != {Replica(open_ready(bundle, "litert")).sha256()}, "they moved"


@pytest.mark.desktop
def test_a_federations_run_is_replayed_to_the_checkpoint_of_what_a_client_has(
    make_bundle, make_checkpoint, train_file, open_ready, tmp_path
):
    from safetensors.numpy import load_file

    from pocketllm.export.results.trained_tensors import trained_tensors

    checkpoint = make_checkpoint()
    bundle, folder, out = make_bundle(checkpoint), tmp_path / "fed", tmp_path / "checkpoint"
    assert simulate(bundle, train_file, folder) == cli.DONE

    run, step = f"--run={folder}", "--at_step=3"  # a client has all but the last round's
    code = cli.main(["replay", f"--bundle={bundle.folder}", run, step, f"--out={out}"])

    assert code == cli.DONE
    client = open_ready(bundle, "litert")
    bring_to(client, point_of(folder / "clients" / "0001", bundle))
    written, before = (
        load_file(out / "model.safetensors"),
        load_file(checkpoint / "model.safetensors"),
    )
    tensors = dict(trained_tensors(client))
    assert tensors.keys() == written.keys()
    for name, values in tensors.items():
        assert values.tobytes() == written[name].tobytes(), name
    moved = [name for name in written if not np.array_equal(written[name], before[name])]
    assert len(moved) == len(written)
