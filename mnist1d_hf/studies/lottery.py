"""Does a lottery ticket owe more to its mask than to its initial weights?

Question: a dense network is pruned step by step to a few percent of its weights, which are reset each time to their
initial values. It then learns better than the whole network. Is that because of the values of the weights that are
kept, or because of which ones are kept?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), its blog post of 2020, and notebook 5, two trials of one run each on
the same dataset. Accuracy at the last step of pruning, in percent, at a sparsity and averaged over five neighbouring
sparsities; near 1 that average includes the collapse:

    sparsity   lottery       random        lottery, mean of five   random, mean of five
    0          66.4, 64.8    60.6, 61.4    65.0, 64.5              61.7, 63.1
    0.50                                   66.7, 67.6              63.9, 63.2
    0.80       72.9, 72.1    68.6, 66.3    71.6, 71.6              66.7, 66.8
    0.92       75.6, 74.4    60.6, 61.8    73.4, 72.2              59.7, 62.1
    0.95       69.2, 70.5    55.9, 54.6    69.7, 69.9              52.7, 54.1
    0.97       68.1, 67.3    41.2, 43.7    62.3, 62.9              40.0, 38.2
    0.98       63.0, 63.8    34.6, 27.2
    0.99       41.9, 41.5    16.7, 15.4

At sparsity 0 both series are the whole network, once each: how much they differ is how much single runs scatter.
Transfer of the ticket of 92 % to a fresh dataset: lottery about 70 and the same on flipped signals, with new weights 67
(dense 64), on shuffled signals below dense, random 58. Pairs of neighbouring inputs in the first layer that are both
kept: a fraction of 0.0056 ± 0.0006 in random masks, 0.0093 ± 0.0011 in lottery tickets.

Protocol: network 40-500-500-10 with ReLU, second layer residual; Adam at 2e-2, batches of 100 in the stored order,
cross-entropy, 1,501 steps for each sparsity. Lottery: within each layer, weights and biases together, the entries that
are smallest after step 1,001 (the notebook's last checkpoint) are masked; all others go back to their initial values.
Random: independent masks of the same sparsities, with the same initial values. Transfer, 6,000 steps of 500 samples: to
a fresh dataset, to the same reversed in time, and with its positions shuffled. Dense and random networks, which know no
positions, are trained on the fresh one alone. A ticket with new weights is also what the notebooks of 2024 measured as
the ticket itself, because their rewind drew the weights anew. One more mask tells what a ticket owes to the number of
connections of each unit: "rewired" keeps these numbers, inputs included, and is random otherwise.

Deviations:
- 28 sparsities, finer where it matters, instead of 100; so a ticket of 92 % took 21 rounds of pruning instead of 92.
  The notebook's sparsities are multiples of 1/99 and differ from ours by at most 0.01.
- Each seed has training sets of its own (4,000 samples of the stream) and a permutation of its own; the notebook has
  one of each. Accuracies are measured on 10,000 fresh samples instead of 1,000; the intervals contain the sampling
  error of both.
- The mean of five at 50 % and 80 % is over sparsities in steps of 0.05, there 0.01; from 90 % on the steps are equal.
- The mean of the two trials is compared as if it were one run, which is lenient: means scatter less than runs. So are
  the fractions of neighbours; how many runs their means and ± are of is not printed with them.
- The transfer to signals with permuted chunks is left out: the source prints no number.
- Before this version pruning looked at the weights of step 1,500, products of matrices were in bfloat16, and means of
  five were compared with points.

Expected: as in the paper; the ticket with new weights far above a random mask with the ticket's weights. The rewired
mask was added after a shuffled ticket had beaten a random mask; it was expected between the two.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies.claims import (
    Claim,
    Finding,
    claim_direction,
    claim_run,
    find_mean,
    find_statistic,
    sampling_error,
)
from mnist1d_hf.studies.figures import bars, crosses, curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, grid, select, to_rows
from mnist1d_hf.studies.masks import LAYERS, Masks, random_masked, rewired, smallest_masked, together
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.population import new_network

SOURCE, MEANS = "notebook 5, two trials", "notebook 5, two trials, mean of five sparsities"
BLOG = "text and figure of 2020"
POINTS = {  # mask -> sparsity -> two trials
    "lottery": {
        **{0.0: (66.4, 64.8), 0.8: (72.9, 72.1), 0.92: (75.6, 74.4), 0.95: (69.2, 70.5)},
        **{0.97: (68.1, 67.3), 0.98: (63.0, 63.8), 0.99: (41.9, 41.5)},
    },
    "random": {
        **{0.0: (60.6, 61.4), 0.8: (68.6, 66.3), 0.92: (60.6, 61.8), 0.95: (55.9, 54.6)},
        **{0.97: (41.2, 43.7), 0.98: (34.6, 27.2), 0.99: (16.7, 15.4)},
    },
}
FIVE = {  # mask -> sparsity -> two trials, averaged over five neighbouring sparsities
    "lottery": {0.5: (66.7, 67.6), 0.8: (71.6, 71.6), 0.92: (73.4, 72.2), 0.95: (69.7, 69.9), 0.97: (62.3, 62.9)},
    "random": {0.5: (63.9, 63.2), 0.8: (66.7, 66.8), 0.92: (59.7, 62.1), 0.95: (52.7, 54.1), 0.97: (40.0, 38.2)},
}
NEIGHBOURS = {"lottery": 0.0093, "random": 0.0056}  # fraction of pairs in the first layer that are both kept
PLUS_MINUS = {"lottery": 0.0011, "random": 0.0006}  # of these
TRIALS, AVERAGE = "mean of two runs", "mean"  # what is compared with one run of ours
DENSE_EFFECT = 11.7  # points from the whole network (63.3, mean of four) to the ticket of 92 % (75.0)
THEIR_TEST, OUR_TEST = 1000, 10000  # test samples
CLOSE = (
    0.5,
    0.8,
)  # sparsities where the masks differ by less than 1,000 test samples can tell; the direction is tested
COLORS = {"dense": "0.6", "random": "C0", "rewired": "C1", "lottery": "C3"}
TRANSFERS = (  # mask, weights, data
    ("dense", "initial", "fresh"),
    ("random", "initial", "fresh"),
    ("rewired", "initial", "fresh"),
    ("lottery", "initial", "fresh"),
    ("lottery", "new", "fresh"),
    ("lottery", "initial", "flipped"),
    ("lottery", "initial", "shuffled"),
)
_OTHER_DATA = 2**40  # added to a seed for the stream of its fresh dataset
_OTHER_WEIGHTS = 2**20  # added to a seed for new weights
_MASKS = 2**34  # the first seed of random masks
_GROUP = 7  # random masks trained side by side


@dataclasses.dataclass(frozen=True)
class LotterySettings(Settings):
    """Settings of this study."""

    width: int = 500  # of both hidden layers
    # fractions of the weights that are masked, rising from 0; each prunes what the one before has trained
    sparsities: tuple[float, ...] = (
        *(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9),
        *(0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99),
    )
    ticket: float = 0.92  # the sparsity whose mask is transferred; one of them
    samples: int = 4000  # of each training set
    steps: int = 1501  # of the optimiser for each sparsity
    pruned_at: int = 1001  # the step whose weights decide which ones are masked next; at most `steps`
    transfer_steps: int = 6000  # of the optimiser in the transfers
    transfer_batch: int = 500  # samples a step of the transfers
    learning_rate: float = 2e-2  # of Adam
    precision: str = choice("float32", ("float32", "bfloat16"))  # of the matrix products of training
    test_samples: int = 10000  # fresh ones, to measure on

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = all(low < high for low, high in zip(self.sparsities, self.sparsities[1:], strict=False))
        if not rising or self.sparsities[0] != 0 or self.sparsities[-1] >= 1:
            found = self.sparsities
            raise InvalidValueError(f"sparsities: expected fractions that rise from 0 to below 1, found {found}")
        if self.pruned_at > self.steps:
            raise InvalidValueError(f"pruned_at: expected at most {self.steps}, the steps, found {self.pruned_at}")
        if self.width < 2:
            raise InvalidValueError("width: expected at least 2, to rewire the connections of units, found 1")
        if self.ticket not in self.sparsities[1:]:
            raise InvalidValueError(f"ticket: expected one of the sparsities above 0, found {self.ticket}")


def units(settings: LotterySettings) -> list[Unit]:
    """One for each seed: its ticket is found, compared with random masks, and transferred."""
    pruning = settings.steps * (2 * len(settings.sparsities) - 1)
    transfer = settings.transfer_steps * len(TRANSFERS)
    work = pruning * 100 + transfer * settings.transfer_batch
    return [Unit(f"seed-{seed}", train, {"seed": seed}, work) for seed in range(settings.seeds)]


def train(settings: LotterySettings, seed: int, context: Context) -> list[Row]:
    """All rows of a seed."""
    network, first = initial_network(settings, seed), _MASKS + seed * 1000
    random = {sparsity: random_masked(network, sparsity, first + i) for i, sparsity in enumerate(settings.sparsities)}
    tickets, rows = prune(settings, seed, network, context)
    rows += _train_random(settings, seed, network, random, context)
    ticket = tickets[settings.ticket]
    masks = {"dense": random[0.0], "random": random[settings.ticket], "lottery": ticket}
    masks["rewired"] = rewired(ticket, seed)
    return rows + _transfer(settings, seed, network, masks, context)


def prune(
    settings: LotterySettings, seed: int, network: nn.Module, context: Context
) -> tuple[dict[float, Masks], list[Row]]:
    """Train, mask the smallest weights, go back to the initial ones, and again, for each sparsity.

    Returns:
        The masks of each sparsity, and its row.
    """
    data = sample(range(settings.samples), seed)
    tickets: dict[float, Masks] = {}
    rows: list[Row] = []
    trained: nn.Module | None = None
    for sparsity in settings.sparsities:  # the first is 0
        masks = random_masked(network, sparsity, 0) if trained is None else smallest_masked(trained, sparsity)
        tickets[sparsity] = masks
        members = [("lottery", "initial", "same", sparsity)]
        trained, found = _fit(settings, seed, _procedure(settings), [network], data, masks, members, context)
        rows += found
    return tickets, rows


def _train_random(
    settings: LotterySettings, seed: int, network: nn.Module, random: Mapping[float, Masks], context: Context
) -> list[Row]:
    """The rows of random masks of every sparsity above 0, some of them trained side by side."""
    data = sample(range(settings.samples), seed)
    rows: list[Row] = []
    for start in range(1, len(settings.sparsities), _GROUP):
        some = settings.sparsities[start : start + _GROUP]
        masks, networks = together([random[sparsity] for sparsity in some]), [network] * len(some)
        members = [("random", "initial", "same", sparsity) for sparsity in some]
        rows += _fit(settings, seed, _procedure(settings), networks, data, masks, members, context)[1]
    return rows


def _transfer(
    settings: LotterySettings, seed: int, network: nn.Module, chosen: Mapping[str, Masks], context: Context
) -> list[Row]:
    """The rows of the transfers, all trained side by side."""
    x, label = sample(range(settings.samples), seed + _OTHER_DATA)
    known = positions(seed, x.shape[1])
    orders = [known[data] for _, _, data in TRANSFERS]
    data = np.stack([x[:, order] for order in orders]), label
    new = initial_network(settings, seed + _OTHER_WEIGHTS)
    networks = [network if weights == "initial" else new for _, weights, _ in TRANSFERS]
    masks = together([chosen[mask] for mask, _, _ in TRANSFERS])
    steps, batch_size = settings.transfer_steps, settings.transfer_batch
    procedure = dataclasses.replace(_procedure(settings), steps=steps, batch_size=batch_size)
    members = [(*transfer, 0.0 if transfer[0] == "dense" else settings.ticket) for transfer in TRANSFERS]
    return _fit(settings, seed, procedure, networks, data, masks, members, context, orders)[1]


def _procedure(settings: LotterySettings) -> Procedure:
    return Procedure(steps=settings.steps, learning_rate=settings.learning_rate, precision=settings.precision)


def _fit(
    settings: LotterySettings,
    seed: int,
    procedure: Procedure,
    networks: Sequence[nn.Module],
    data: tuple[NDArray[Any], NDArray[Any]],
    masks: Masks,
    members: Sequence[tuple[str, str, str, float]],
    context: Context,
    orders: Sequence[NDArray[Any]] | None = None,
) -> tuple[nn.Module, list[Row]]:
    """Train networks side by side and measure them.

    Args:
        data: training signals and labels.
        members: mask, weights, data and sparsity of each network.
        orders: of the positions of the test signals, for each network; none if they stay as they are.

    Returns:
        The networks as one, as they were at the step that pruning looks at; and a row for each, of the last step.
    """
    work = procedure.batch_size * len(networks)
    ensemble = Ensemble(networks, procedure, *data, masks=masks, device=context.device)
    ensemble.run(settings.pruned_at, report=lambda _: context.report(work))
    decisive = copy.deepcopy(ensemble.network)
    ensemble.run(report=lambda _: context.report(work))
    x, label = fresh_samples("default", settings.test_samples)
    tests = x if orders is None else np.stack([x[:, order] for order in orders])
    mask, weights, kind, sparsity = zip(*members, strict=True)
    rows = to_rows(
        part="pruning" if orders is None else "transfer",
        mask=mask,
        weights=weights,
        data=kind,
        sparsity=sparsity,
        seed=seed,
        train_accuracy=100 * ensemble.scores(*data).accuracy,
        test_accuracy=100 * ensemble.scores(tests, label).accuracy,
        adjacency=adjacency(masks),
    )
    return decisive, rows


def initial_network(settings: LotterySettings, seed: int) -> nn.Module:
    """The network of a seed before training."""
    return seeded(lambda: new_network(architecture="mlp", widths=(settings.width,) * 2), seed)


def adjacency(masks: Mapping[str, Tensor]) -> list[float]:
    """The fraction of the pairs of neighbouring inputs in the first layer that are both kept, for each member."""
    first = masks[f"{LAYERS[0]}.weight"]
    return [float(value) for value in (first[..., 1:] * first[..., :-1]).flatten(1).double().mean(1)]


def positions(seed: int, length: int = 40) -> dict[str, NDArray[Any]]:
    """The order in which the positions of a signal are taken, for each kind of data; drawn by the seed.

    >>> positions(0)["flipped"][:3].tolist()
    [39, 38, 37]
    """
    random, place = np.random.default_rng([seed, 2]), np.arange(length)
    return {
        "fresh": place,
        "flipped": place[::-1],
        "shuffled": random.permutation(length),
    }


def figure(table: pd.DataFrame) -> Figure:
    """Accuracy against sparsity, the transfers, and neighbours in the first layer."""
    drawn, (accuracies, transfers, neighbours) = new_figure("Lottery tickets", 3)
    for mask, published in POINTS.items():
        some = select(table, part="pruning", mask=mask)
        curve(accuracies, *grid(some, "test_accuracy", "sparsity"), mask, color=COLORS[mask])
        curve(neighbours, *grid(some, "adjacency", "sparsity"), mask, color=COLORS[mask])
        for trial in zip(*published.values(), strict=True):
            crosses(accuracies, dict(zip(published, trial, strict=True)), COLORS[mask])
    crosses(accuracies, {}, "0.4", label="paper, two trials")
    accuracies.set(xlabel="sparsity", ylabel="test accuracy, %", title="pruning")
    accuracies.legend()
    names = [
        f"{mask}{', new weights' if weights == 'new' else ''}{f', {data}' if data != 'fresh' else ''}"
        for mask, weights, data in TRANSFERS
    ]
    values = [transferred(table, *transfer) for transfer in TRANSFERS]
    bars(transfers, names, values, horizontal=True, color=[COLORS[mask] for mask, _, _ in TRANSFERS], height=0.7)
    transfers.invert_yaxis()
    transfers.set(xlabel="test accuracy, %", title="transfer to a fresh dataset")
    transfers.set_xlim(left=max(0.0, min(value.mean() for value in values) - 15))
    neighbours.set(xlabel="sparsity", ylabel="neighbours both left", title="first layer", yscale="log")
    neighbours.legend()
    return drawn


def transferred(
    table: pd.DataFrame, mask: str, weights: str = "initial", data: str = "fresh", column: str = "test_accuracy"
) -> pd.Series:
    """A column of a transfer, by seed."""
    return by_seed(table, column, part="transfer", mask=mask, weights=weights, data=data)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Mask against weights first, then the transfers, the masks' neighbours and the pruning curves."""
    ticket, random = (transferred(table, mask, column="adjacency") for mask in ("lottery", "random"))
    text = "In the first layer the ticket keeps more pairs of neighbours than a random mask"
    details = {"literature": "0.0093 ± 0.0011 and 0.0056 ± 0.0006", "source": SOURCE}
    found = [*_transfers(table), claim_direction("neighbours", text, ticket - random, **details)]
    for mask, values in (("lottery", ticket), ("random", random)):
        text = f"Fraction of neighbouring pairs that a {mask} mask keeps in the first layer"
        effect = NEIGHBOURS["lottery"] - NEIGHBOURS["random"]
        known: dict[str, Any] = {"effect": effect, "kind": AVERAGE, "source": SOURCE}
        known["literature"] = f"{NEIGHBOURS[mask]:g} ± {PLUS_MINUS[mask]:g}"
        found.append(claim_run(f"neighbours, {mask}", text, values, NEIGHBOURS[mask], **known))
    for published, source, measured in ((POINTS, SOURCE, _at), (FIVE, MEANS, _mean_of_five)):
        for sparsity in sorted(published["lottery"]):
            effect = DENSE_EFFECT
            if sparsity:
                effect = float(np.mean(published["lottery"][sparsity]) - np.mean(published["random"][sparsity]))
            if sparsity in CLOSE:
                found += _ahead(table, sparsity, measured, effect, source)
                continue
            for mask in published:
                # at sparsity 0 all masks are the same, and were trained once
                values = measured(select(table, part="pruning", mask=mask if sparsity else "lottery"), sparsity)
                if len(values):
                    found.append(_pruned(mask, sparsity, values, published[mask][sparsity], effect, source))
    return found


def _pruned(
    mask: str, sparsity: float, values: pd.Series, trials: tuple[float, float], effect: float, source: str
) -> Claim:
    """An accuracy while pruning. The two trials share a dataset, so their mean is compared as if it were one run."""
    kind, value = ("" if source == SOURCE else ", mean of five"), float(np.mean(trials))
    text = f"Test accuracy at {sparsity:.0%} sparsity, {mask} mask{kind}"
    details = {"literature": f"{trials[0]:g} and {trials[1]:g} %", "source": source, "unit": "%", "kind": TRIALS}
    error = sampling_error(value, THEIR_TEST, OUR_TEST)
    return claim_run(f"{mask}, {sparsity:.0%}{kind}", text, values, value, effect=effect, test_error=error, **details)


def _ahead(
    table: pd.DataFrame, sparsity: float, measured: Callable[[pd.DataFrame, float], pd.Series], gain: float, source: str
) -> list[Claim]:
    """That the ticket beats a random mask of the same sparsity, if that was measured."""
    ticket, random = (measured(select(table, part="pruning", mask=mask), sparsity) for mask in ("lottery", "random"))
    if not len(ticket):
        return []
    kind = "" if source == SOURCE else ", mean of five"
    text = f"At {sparsity:.0%} sparsity the ticket beats a random mask{kind}"
    details = {"literature": f"{gain:+.1f}", "source": source, "unit": "points"}
    return [claim_direction(f"ahead, {sparsity:.0%}{kind}", text, ticket - random, **details)]


def _at(curve: pd.DataFrame, sparsity: float) -> pd.Series:
    """The accuracy by seed at a sparsity."""
    return by_seed(curve, "test_accuracy", sparsity=sparsity)


def _mean_of_five(curve: pd.DataFrame, sparsity: float) -> pd.Series:
    """The mean accuracy by seed at a sparsity and two on each side; empty if these were not measured."""
    known = sorted(curve["sparsity"].unique())
    place = known.index(sparsity) if sparsity in known else 0
    five = known[place - 2 : place + 3] if 2 <= place < len(known) - 2 else []
    return select(curve, sparsity=five).groupby("seed")["test_accuracy"].mean()


def _transfers(table: pd.DataFrame) -> list[Claim]:
    """What a ticket is worth on a fresh dataset, compared with other networks."""
    dense, random = transferred(table, "dense"), transferred(table, "random")
    ticket, renewed = transferred(table, "lottery"), transferred(table, "lottery", weights="new")
    flipped, shuffled = (transferred(table, "lottery", data=data) for data in ("flipped", "shuffled"))
    effect = 70.0 - 58.0  # points from a random mask to the ticket

    def direction(name: str, text: str, values: pd.Series, literature: str) -> Claim:
        return claim_direction(name, text, values, literature=literature, source=BLOG, unit="points")

    def run(name: str, what: str, values: pd.Series, value: float) -> Claim:
        text, error = f"Test accuracy on a fresh dataset: {what}", sampling_error(value, THEIR_TEST, OUR_TEST)
        return claim_run(name, text, values, value, effect=effect, test_error=error, source=BLOG, unit="%")

    new = "The ticket's mask with new weights beats"
    above_random = f"{new} a random mask with the ticket's weights"
    better = "On a fresh dataset the ticket beats the dense network"
    as_good = "On flipped signals the ticket loses nothing"
    worse = "On shuffled signals the ticket is worse than the dense network"
    both = math.sqrt(2) * sampling_error(70, THEIR_TEST, OUR_TEST)  # of two accuracies, at most
    same: dict[str, Any] = {"literature": "about 0", "effect": effect, "source": BLOG, "unit": "points"}
    return [
        direction("mask above weights", above_random, renewed - random, "67 - 58 = +9"),
        direction("ticket above dense", better, ticket - dense, "70 - 64 = +6"),
        direction("new weights above dense", f"{new} the dense network", renewed - dense, "67 - 64 = +3"),
        direction("shuffled below dense", worse, dense - shuffled, "below dense"),
        claim_run("flipped as good", as_good, ticket - flipped, 0.0, test_error=both, **same),
        run("transfer", "the ticket", ticket, 70),
        run("new weights", "the ticket's mask with new weights", renewed, 67),
        run("dense", "the dense network", dense, 64),
        run("random mask", "a random mask", random, 58),
    ]


def findings(table: pd.DataFrame) -> list[Finding]:
    """What the parts of a ticket are worth on a fresh dataset, from a random mask to the ticket."""
    random, units = transferred(table, "random"), transferred(table, "rewired")
    renewed, ticket = transferred(table, "lottery", weights="new"), transferred(table, "lottery")
    shuffled = transferred(table, "lottery", data="shuffled")
    gains = (
        ("numbers of connections", "Each unit's number of connections: rewired mask less random mask", units - random),
        (
            "which connections",
            "What they connect: the ticket's mask with new weights less rewired",
            renewed - units,
        ),
        ("initial weights", "Initial weights: ticket less the same mask with new weights", ticket - renewed),
        ("shuffled, connections", "Ticket on shuffled signals less rewired mask", shuffled - units),
    )
    found = [find_mean(name, text, values, "points") for name, text, values in gains]
    near = transferred(table, "rewired", column="adjacency")
    text = "Fraction of neighbouring pairs that a rewired mask keeps in the first layer"
    found.append(find_mean("neighbours, rewired", text, near))
    text = "Part of the mask's gain over a random mask that is due to each unit's number of connections"

    def part(values: NDArray[Any]) -> float:
        return float(100 * values[:, 0].sum() / values[:, 1].sum())

    both = pd.DataFrame({"numbers": units - random, "mask": renewed - random})
    return [*found, find_statistic("part of the numbers", text, part, both, "%")]


STUDY = Study(
    name="lottery",
    question="Does a lottery ticket owe more to its mask than to its initial weights?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439) and its blog post of 2020",
    full=LotterySettings(),
    quick=LotterySettings(
        seeds=2,
        width=40,
        sparsities=(0.0, 0.5, 0.8, 0.92),
        samples=600,
        steps=60,
        pruned_at=40,
        transfer_steps=60,
        transfer_batch=100,
        test_samples=1000,
    ),
    units=units,
    figure=figure,
    claims=claims,
    findings=findings,
    minutes=160,
)
