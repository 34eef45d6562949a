"""Populations: each member is what its seed gives alone, and an interrupted run is an uninterrupted one."""

import copy
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
    "transformer": {"architecture": "transformer", "widths": (8,), "dropout": 0.5},  # which cannot be stacked
}
HALVES = (slice(0, 300), slice(300, 600))


def recipe(name="cnn", **changes):
    values = {"name": "test", "network": NETWORKS[name], "steps": 60, "batch_size": 50, "eval_every": 20}
    return Recipe(**{**values, **changes})


@pytest.fixture(scope="module")
def arrays():
    whole = load_arrays("default")
    return Arrays(whole.x[:600], whole.label[:600], whole.x_test[:200], whole.label_test[:200])


def trained(chosen, seeds, arrays):
    population = Population(chosen, seeds, arrays)
    population.run()
    return population.finish()


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("mlp", {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "label_smoothing": 0.1}),
        ("cnn", {"holdout": 0.0, "select": "final", "shuffle": False, "watch_test": True}),
        ("resnet", {"augmentation": Augmentation(shift=3, scale=0.1, stretch=0.05, ramp=0.5, noise=0.05)}),
        ("gru", {}),
        ("transformer", {"optimizer": "sgd"}),  # Adam turns rounding errors of gradients that are 0 into whole steps
    ],
    ids=["decay", "paper", "augmented", "plain", "not stacked"],
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


def test_members_may_have_data_of_their_own(arrays):
    """The result of each is that of its seed on its data alone, up to rounding."""
    parts = [Arrays(arrays.x[rows], arrays.label[rows], arrays.x_test, arrays.label_test) for rows in HALVES]
    together = dataclasses.replace(
        arrays, x=np.stack([part.x for part in parts]), label=np.stack([part.label for part in parts])
    )
    chosen = recipe("mlp", steps=10, learning_rate=1e-3, synthetic=1.0)
    members, states = trained(chosen, [4, 4], together)
    assert states[0]["network.output.weight"].ne(states[1]["network.output.weight"]).any()
    for number, part in enumerate(parts):
        (alone,), (state,) = trained(chosen, [4], part)
        assert alone.validation == members[number].validation
        for name, values in state.items():
            torch.testing.assert_close(states[number][name], values, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="expected signals, labels and seeds of 3 members"):
        Population(chosen, [1, 2, 3], together)


@pytest.mark.parametrize("network", ["cnn", "transformer"])
def test_it_is_what_a_plain_loop_gives(network, arrays):
    """The same network and optimiser, batches in the stored order."""
    values = {"architecture": network, "widths": (8,)}
    chosen = recipe(network=values, shuffle=False, holdout=0.0, select="final", optimizer="sgd", learning_rate=0.1)
    (member,), (state,) = trained(chosen, [4], arrays)
    torch.manual_seed(4)
    model = Mnist1dForSequenceClassification(network_config(values))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, label = torch.from_numpy(arrays.x), torch.from_numpy(arrays.label)
    for step in range(chosen.steps):
        rows = slice(step * 50 % 600, step * 50 % 600 + 50)
        optimizer.zero_grad()
        functional.cross_entropy(model(x[rows]).logits, label[rows]).backward()
        optimizer.step()
    assert state.keys() == model.state_dict().keys()
    for name, expected in model.state_dict().items():
        torch.testing.assert_close(state[name], expected, rtol=0, atol=1e-4)
    right = (model(torch.from_numpy(arrays.x_test)).logits.argmax(1).numpy() == arrays.label_test).mean()
    assert member.test == pytest.approx(right, abs=1 / 200)


def test_the_held_out_part_is_never_trained_on_and_chooses(arrays):
    chosen = recipe(steps=100)
    population = Population(chosen, [1, 2], arrays)
    seen = [set(), set()]
    for _ in range(40):
        for member, rows in enumerate(population.ensemble.batches.rows(0)):
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


def test_the_test_split_chooses_nothing(arrays):
    """Other test labels: the same weights, step and validation."""
    other = dataclasses.replace(arrays, label_test=(arrays.label_test + 1) % 10)
    (first,), (state,) = trained(recipe(), [1], arrays)
    (second,), (again,) = trained(recipe(), [1], other)
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert (first.step, first.validation, first.history) == (second.step, second.validation, second.history)
    assert first.test != second.test


def test_a_seed_that_diverges_is_reported_and_hurts_no_other(arrays):
    chosen = recipe(learning_rate=1e-2)
    population = Population(chosen, [1, 2], arrays)
    population.run(until=10)
    with torch.no_grad():
        population.ensemble.network.output.weight[1] = torch.nan
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
        ("transformer", {}),
        ("gru", {"data": "stream", "holdout": 0.0, "select": "final"}),
    ],
    ids=["augmented", "synthetic", "running statistics", "not stacked", "stream"],
)
def test_a_saved_population_goes_on(network, changes, arrays):
    """From where it was saved; torch's global random numbers are left alone."""
    chosen, before = recipe(network, **changes), torch.get_rng_state()
    first = Population(chosen, [1, 2], arrays)
    first.run(until=33)
    state = copy.deepcopy(first.state())
    first.run()
    members, states = first.finish()
    second = Population(chosen, [1, 2], arrays)
    second.load_state(state)
    second.run()
    again, weights = second.finish()
    assert again == members
    assert torch.equal(torch.get_rng_state(), before)
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
    assert first.members == second.members
    assert all(torch.equal(a[n], b[n]) for a, b in zip(first.states, second.states, strict=True) for n in a)
    assert sum(reported) == 12 * 20
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("units/group*")}
    again = runs.train(chosen, range(12), arrays, tmp_path / "a")
    assert again.members == first.members
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
    checkpoint = tmp_path / "run" / "units" / "group-1.state"
    assert checkpoint.exists()
    told.clear()
    again = runs.train(chosen, [1, 2], arrays, tmp_path / "run", device="cpu", progress=told.append)
    assert not checkpoint.exists()
    assert 2 * 40 in told  # what the checkpoint has
    assert sum(told) == 2 * 100
    whole = runs.train(chosen, [1, 2], arrays, tmp_path / "whole", device="cpu")
    assert again.members == whole.members
    assert all(torch.equal(a[n], b[n]) for a, b in zip(again.states, whole.states, strict=True) for n in a)
