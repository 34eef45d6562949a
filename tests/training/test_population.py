"""Populations: each member is what its seed gives alone, and an interrupted run is an uninterrupted one."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mnist1d_hf import Mnist1dForSequenceClassification
from mnist1d_hf.runs import in_this_process
from mnist1d_hf.training import runs
from mnist1d_hf.training.augmentation import Augmentation
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.population import Arrays, Population, network_config
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.stacked import set_generators, stack

NETWORKS = {
    "mlp": {"architecture": "mlp", "widths": (20, 20), "activation": "prelu", "dropout": 0.2},
    "cnn": {"architecture": "cnn", "widths": (6, 6)},
    "gru": {"architecture": "gru", "widths": (3,)},
    "resnet": {"architecture": "resnet", "widths": (4, 4)},
}
HALVES = (slice(0, 300), slice(300, 600))


def recipe(network="cnn", **changes):
    values = {"name": "test", "network": NETWORKS[network], "steps": 60, "batch_size": 50, "eval_every": 20}
    return Recipe(**{**values, **changes})


@pytest.fixture(scope="module")
def arrays():
    whole = load_arrays("default")
    return Arrays(whole.x[:600], whole.label[:600], whole.x_test[:200], whole.label_test[:200])


def trained(chosen, seeds, arrays):
    population = Population(chosen, seeds, arrays)
    population.run()
    return population.finish()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "label_smoothing": 0.1},
        {"holdout": 0.0, "select": "final", "shuffle": False, "watch_test": True},
        {"augmentation": Augmentation(shift=3, scale=0.1, stretch=0.05, ramp=0.5, noise=0.05)},
    ],
    ids=["decay", "paper", "augmented"],
)
def test_a_member_is_its_seed_alone(network, changes, arrays):
    """Few and small steps, so that the rounding of sums in another order (1e-7 here) has no time to grow."""
    chosen = recipe(network, steps=10, learning_rate=1e-3, **changes)
    members, states = trained(chosen, [5, 3, 8], arrays)
    (alone,), (state,) = trained(chosen, [3], arrays)
    assert alone.seed == members[1].seed == 3
    assert abs(alone.test - members[1].test) <= 2 / 200
    for name, values in state.items():
        torch.testing.assert_close(states[1][name], values, rtol=0, atol=1e-5)
    assert states[0]["network.output.weight"].sub(states[1]["network.output.weight"]).abs().max() > 1e-2


@pytest.mark.parametrize("synthetic", [0.0, 1.0])
def test_members_may_have_data_of_their_own(synthetic, arrays):
    """The result of each is that of its seed on its data alone, up to rounding."""
    parts = [Arrays(arrays.x[rows], arrays.label[rows], arrays.x_test, arrays.label_test) for rows in HALVES]
    together = dataclasses.replace(
        arrays, x=np.stack([part.x for part in parts]), label=np.stack([part.label for part in parts])
    )
    chosen = recipe("mlp", steps=10, learning_rate=1e-3, synthetic=synthetic)
    members, states = trained(chosen, [4, 4], together)
    assert states[0]["network.output.weight"].ne(states[1]["network.output.weight"]).any()
    for number, part in enumerate(parts):
        (alone,), (state,) = trained(chosen, [4], part)
        assert alone.validation == members[number].validation
        for name, values in state.items():
            torch.testing.assert_close(states[number][name], values, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="expected signals, labels and seeds of 3 members"):
        Population(chosen, [1, 2, 3], together)


def test_it_is_what_a_plain_loop_gives(arrays):
    """The paper's protocol against ten lines of torch: the same network, Adam, batches in the stored order."""
    chosen = recipe(holdout=0.0, select="final", shuffle=False, steps=40)
    (member,), (state,) = trained(chosen, [4], arrays)
    torch.manual_seed(4)
    model = Mnist1dForSequenceClassification(network_config(chosen.network))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, label = torch.from_numpy(arrays.x), torch.from_numpy(arrays.label)
    for step in range(40):
        rows = slice(step * 50 % 600, step * 50 % 600 + 50)
        optimizer.zero_grad()
        functional.cross_entropy(model(x[rows]).logits, label[rows]).backward()
        optimizer.step()
    for name, values in model.state_dict().items():
        torch.testing.assert_close(state[name], values, rtol=0, atol=1e-4)
    right = (model(torch.from_numpy(arrays.x_test)).logits.argmax(1).numpy() == arrays.label_test).mean()
    assert member.test == pytest.approx(right, abs=1 / 200)


def test_the_held_out_part_is_never_trained_on_and_chooses(arrays):
    chosen = recipe(steps=100)
    population = Population(chosen, [1, 2], arrays)
    seen = [set(), set()]
    for _ in range(40):
        for member, rows in enumerate(population.ensemble.batches._rows(0)):
            seen[member].update(rows.tolist())
    for member in range(2):
        held_out = set(population.held_out[member].tolist())
        assert len(held_out) == 60
        assert not held_out & seen[member]
        assert held_out | seen[member] == set(range(600))
    assert not torch.equal(population.held_out[0], population.held_out[1])
    members, states = trained(chosen, [1, 2], arrays)
    for member, state in zip(members, states, strict=True):
        best = max(accuracy for _, accuracy in member.history)
        assert member.validation == pytest.approx(best)
        assert member.step == next(step for step, accuracy in member.history if accuracy == best)
        model = Mnist1dForSequenceClassification(network_config(chosen.network))
        model.load_state_dict(state)
        predictions = model.eval()(torch.from_numpy(arrays.x_test)).logits.argmax(1).numpy()
        assert member.test == pytest.approx((predictions == arrays.label_test).mean())


def test_the_held_out_loss_may_choose(arrays):
    """Of the evaluated steps the one with the lowest cross-entropy on the held-out part, as a plain loop finds it."""
    chosen = recipe(select="loss", learning_rate=3e-2, steps=120)
    population, losses = Population(chosen, [1, 2], arrays), {}
    while population.step < chosen.steps:
        population.run(until=population.step + chosen.eval_every)
        population.network.eval()
        with torch.no_grad():
            x, label = population._validation
            logits = population.network(x)
        losses[population.step] = [float(functional.cross_entropy(logits[k], label[k])) for k in range(2)]
    members, _ = population.finish()
    for number, member in enumerate(members):
        assert member.step == min(losses, key=lambda step: losses[step][number])
    assert any(member.step != chosen.steps for member in members)


def test_the_test_split_chooses_nothing(arrays):
    """Other test labels: the same weights, step and validation."""
    other = dataclasses.replace(arrays, label_test=(arrays.label_test + 1) % 10)
    (first,), (state,) = trained(recipe(), [1], arrays)
    (second,), (again,) = trained(recipe(), [1], other)
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert (first.step, first.validation, first.history) == (second.step, second.validation, second.history)
    assert first.test != second.test


def test_global_random_numbers_are_left_alone(arrays):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    trained(recipe("mlp", augmentation=Augmentation(noise=0.1)), [1, 2], arrays)
    assert torch.equal(torch.rand(3), expected)


def test_a_seed_that_diverges_is_reported_and_hurts_no_other(arrays):
    chosen = recipe(learning_rate=1e-2)
    population = Population(chosen, [1, 2], arrays)
    population.run(until=10)
    with torch.no_grad():
        population.network.output.weight[1] = torch.nan
    population.run()
    (good, bad), _ = population.finish()
    assert bad.diverged
    assert not good.diverged
    (alone,), _ = trained(chosen, [1], arrays)
    assert abs(good.test - alone.test) <= 0.05


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("mlp", {"augmentation": Augmentation(noise=0.1, shift=1)}),
        ("mlp", {"synthetic": 0.5}),
        ("resnet", {}),
        ("gru", {"data": "stream", "holdout": 0.0, "select": "final"}),
    ],
    ids=["augmented", "synthetic", "running statistics", "stream"],
)
def test_a_saved_population_goes_on(network, changes, arrays):
    chosen = recipe(network, **changes)
    members, states = trained(chosen, [1, 2], arrays)
    first = Population(chosen, [1, 2], arrays)
    first.run(until=33)
    tensors, values = first.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    first.run()
    second = Population(chosen, [1, 2], arrays)
    second.load_state(tensors, values)
    second.run()
    again, weights = second.finish()
    assert [dataclasses.asdict(member) for member in again] == [dataclasses.asdict(member) for member in members]
    assert all(torch.equal(weights[k][name], states[k][name]) for k in range(2) for name in states[k])


class RefusesForeignDevices(TorchFunctionMode):
    """What a GPU does: numbers of a generator can be drawn on the generator's own device only."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        generator, device = (kwargs or {}).get("generator"), (kwargs or {}).get("device")
        if generator is not None and device is not None and torch.device(device) != generator.device:
            raise RuntimeError(f"expected a {device} device type for generator but found {generator.device}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": Augmentation(shift=3, scale=0.1, noise=0.1)},
        {"synthetic": 0.5},
        {"data": "stream", "holdout": 0.0, "select": "final"},
    ],
    ids=["augmented", "synthetic", "stream"],
)
def test_random_numbers_are_drawn_where_the_generators_are(changes, arrays):
    """The data and a network with dropout on another device, "meta", for which there is no generator."""
    batches = Population(recipe("mlp", **changes), [1, 2], arrays).ensemble.batches
    if "data" in changes:
        batches.device = torch.device("meta")
    else:
        batches.x, batches.label = batches.x.to("meta"), batches.label.to("meta")
    network = stack([nn.Sequential(nn.Dropout(0.5))] * 2)
    set_generators(network, [torch.Generator() for _ in range(2)])
    with RefusesForeignDevices():
        x, label = batches.next(0)
        outputs = network(x)
    assert x.device.type == label.device.type == outputs.device.type == "meta"


# Runs


@pytest.fixture
def in_one(monkeypatch):
    """Runs take place in this process, with one thread, as in processes of their own."""
    monkeypatch.setattr(runs, "in_processes", lambda _: in_this_process)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_run_over_processes_is_a_run_in_one(arrays, tmp_path, request):
    chosen = recipe(steps=20)
    reported = []
    first = runs.train(chosen, range(12), arrays, tmp_path / "a", num_proc=2, progress=reported.append)
    request.getfixturevalue("in_one")
    second = runs.train(chosen, range(12), arrays, tmp_path / "b", num_proc=1)
    assert [member.seed for member in first.members] == list(range(12))
    assert [dataclasses.asdict(m) for m in first.members] == [dataclasses.asdict(m) for m in second.members]
    assert all(torch.equal(a[n], b[n]) for a, b in zip(first.states, second.states, strict=True) for n in a)
    assert sum(reported) == 12 * 20
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("units/group*")}
    again = runs.train(chosen, range(12), arrays, tmp_path / "a")
    assert [dataclasses.asdict(m) for m in again.members] == [dataclasses.asdict(m) for m in first.members]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.usefixtures("in_one")
def test_stopped_after_a_checkpoint_it_goes_on(arrays, tmp_path, monkeypatch):
    """The run that goes on ends where an undisturbed one ends, bit for bit."""
    monkeypatch.setattr(runs, "_SECONDS", 0)  # a checkpoint whenever one is possible
    chosen, told = recipe(steps=100), []

    def stop(count):
        told.append(count)
        if sum(told) >= 2 * 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(chosen, [1, 2], arrays, tmp_path / "run", device="cpu", progress=stop)
    checkpoint = tmp_path / "run" / "units" / "group-1.checkpoint"
    assert checkpoint.exists()
    told.clear()
    again = runs.train(chosen, [1, 2], arrays, tmp_path / "run", device="cpu", progress=told.append)
    assert not checkpoint.exists()
    assert 2 * 40 in told  # what the checkpoint has
    assert sum(told) == 2 * 100
    whole = runs.train(chosen, [1, 2], arrays, tmp_path / "whole", device="cpu")
    assert [dataclasses.asdict(m) for m in again.members] == [dataclasses.asdict(m) for m in whole.members]
    assert all(torch.equal(a[n], b[n]) for a, b in zip(again.states, whole.states, strict=True) for n in a)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([1, 2, 1], "seeds: expected each once, found 1 several times"),
        ([], "seeds: expected at least one"),
        ([-1], "seeds: expected an integer from 0"),
        ([2**32], "seeds"),
    ],
)
def test_bad_seeds_are_refused(seeds, message, arrays, tmp_path):
    with pytest.raises(ValueError, match=message):
        runs.train(recipe(), seeds, arrays, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("in_one")
def test_a_folder_of_another_run_is_refused(arrays, tmp_path):
    runs.train(recipe(steps=2), [1], arrays, tmp_path, device="cpu")
    with pytest.raises(OSError, match=r"belongs to other settings \(steps is 2 there and 3 here\)"):
        runs.train(recipe(steps=3), [1], arrays, tmp_path)
