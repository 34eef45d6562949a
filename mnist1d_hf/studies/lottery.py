"""Does a lottery ticket owe more to its mask than to its initial weights?

Question: a dense network is pruned step by step to a few percent of its weights, which are reset each time to their
initial values. It then learns better than the whole network. Is that because of the values of the weights that are
kept, or because of which ones are kept?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), its blog post of 2020, and the notebook, two trials of one run each.
Pruning, accuracy at the last step in percent, mean over five neighbouring sparsities:

    sparsity   lottery       random
    0          65.0, 64.5    61.7, 63.1
    0.50       66.7, 67.6    63.9, 63.2
    0.80       71.6, 71.6    66.7, 66.8
    0.92       73.4, 72.2    59.7, 62.1
    0.95       69.7, 69.9    52.7, 54.1
    0.97       62.3, 62.9    40.0, 38.2

Transfer of the ticket of 92 % to a fresh dataset: lottery about 70 and the same on flipped signals, with new weights 67
(dense 64), on shuffled signals below dense, random 58. Pairs of neighbouring inputs in the first layer that are both
kept: a fraction of 0.0056 in random masks, 0.0093 in lottery tickets.

Protocol: network 40-500-500-10 with ReLU, second layer residual; Adam at 2e-2, batches of 100 in the stored order,
cross-entropy, 1,500 steps for each sparsity. Lottery: within each layer, weights and biases together, the entries that
are smallest after training are masked; all others go back to their initial values. Random: independent masks of the
same sparsities, with the same initial values. Here there are 28 sparsities, finer where it matters, instead of 100.
Transfer, 6,000 steps of 500 samples: to a fresh dataset, to the same reversed in time, with its positions shuffled, and
with its eight chunks of five positions permuted. Dense and random networks, which know no positions, are trained on the
fresh one alone. A ticket with new weights is also what the notebooks of 2024 measured as the ticket itself, because
their rewind drew the weights anew. Each seed has training sets of its own (4,000 samples of the stream); accuracies are
measured on 10,000 fresh samples.

Expected: as in the paper; the ticket with new weights far above a random mask with the ticket's weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies.claims import Claim, claim_mean, claim_published
from mnist1d_hf.studies.figures import bars, crosses, curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, grid, select, to_rows
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.population import new_network

LAYERS = ("stages.0.linear", "stages.1.linear", "output")
SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), lottery tickets, notebook, two trials"
BLOG = "Greydanus & Kobak 2024 (arXiv 2011.14439), lottery tickets, text and figure of 2020"
TOLERANCE = 3.0  # percentage points around a published accuracy, which is of one or two runs on one dataset
PAPER = {  # mask -> sparsity -> mean of two trials
    "lottery": {0.5: 67.15, 0.8: 71.6, 0.92: 72.8, 0.95: 69.8, 0.97: 62.6},
    "random": {0.5: 63.55, 0.8: 66.75, 0.92: 60.9, 0.95: 53.4, 0.97: 39.1},
}
COLORS = {"dense": "0.6", "random": "C0", "lottery": "C3"}
TRANSFERS = (  # mask, weights, data
    ("dense", "initial", "fresh"),
    ("random", "initial", "fresh"),
    ("lottery", "initial", "fresh"),
    ("lottery", "new", "fresh"),
    ("lottery", "initial", "flipped"),
    ("lottery", "initial", "shuffled"),
    ("lottery", "initial", "chunks"),
)
_OTHER_DATA = 2**40  # added to a seed for the stream of its fresh dataset
_OTHER_WEIGHTS = 2**20  # added to a seed for new weights
_MASKS = 2**34  # the first seed of random masks
_GROUP = 7  # random masks trained side by side

Masks = dict[str, Tensor]  # parameter -> 0 or 1 for each entry (members, ...)


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
    steps: int = 1500  # of the optimiser for each sparsity
    transfer_steps: int = 6000  # of the optimiser in the transfers
    transfer_batch: int = 500  # samples a step of the transfers
    learning_rate: float = 2e-2  # of Adam
    precision: str = choice("bfloat16", ("float32", "bfloat16"))  # of the matrix products of training
    test_samples: int = 10000  # fresh ones, to measure on

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = all(low < high for low, high in zip(self.sparsities, self.sparsities[1:], strict=False))
        if not rising or self.sparsities[0] != 0 or self.sparsities[-1] >= 1:
            found = self.sparsities
            raise InvalidValueError(f"sparsities: expected fractions that rise from 0 to below 1, found {found}")
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
    masks = {"dense": random[0.0], "random": random[settings.ticket], "lottery": tickets[settings.ticket]}
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
        The trained networks as one, and a row for each.
    """
    work = procedure.batch_size * len(networks)
    ensemble = Ensemble(networks, procedure, *data, masks=masks, device=context.device)
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
    return ensemble.network, rows


def initial_network(settings: LotterySettings, seed: int) -> nn.Module:
    """The network of a seed before training."""
    return seeded(lambda: new_network(architecture="mlp", widths=(settings.width,) * 2), seed)


def smallest_masked(network: nn.Module, sparsity: float) -> Masks:
    """Masks that drop the smallest entries of each layer of stacked networks, weights and biases together."""
    return _lowest(lambda values: values.detach().abs(), network, sparsity)


def random_masked(network: nn.Module, sparsity: float, seed: int) -> Masks:
    """Masks of one member that drop random entries of each layer of a network, weights and biases together."""
    generator = torch.Generator().manual_seed(seed)
    return _lowest(lambda values: torch.rand(1, *values.shape, generator=generator), network, sparsity)


def _lowest(score: Callable[[Tensor], Tensor], network: nn.Module, sparsity: float) -> Masks:
    """Masks that drop the entries of each layer with the lowest scores (members, ...)."""
    masks: Masks = {}
    for layer in LAYERS:
        names = [f"{layer}.weight", f"{layer}.bias"]
        scores = [score(network.get_parameter(name)) for name in names]
        flat = torch.cat([values.flatten(1) for values in scores], dim=1)
        order = flat.argsort(dim=1, stable=True)[:, : int(sparsity * flat.shape[1])]
        kept = torch.ones_like(flat).scatter_(1, order, 0.0)
        parts = kept.split([values[0].numel() for values in scores], dim=1)
        masks |= {name: part.view_as(values) for name, part, values in zip(names, parts, scores, strict=True)}
    return masks


def together(masks: Sequence[Masks]) -> Masks:
    """Masks of several members as one."""
    return {name: torch.cat([one[name] for one in masks]) for name in masks[0]}


def adjacency(masks: Mapping[str, Tensor]) -> list[float]:
    """The fraction of the pairs of neighbouring inputs in the first layer that are both kept, for each member."""
    first = masks[f"{LAYERS[0]}.weight"]
    return [float(value) for value in (first[..., 1:] * first[..., :-1]).flatten(1).double().mean(1)]


def positions(seed: int, length: int = 40, chunk: int = 5) -> dict[str, NDArray[Any]]:
    """The order in which the positions of a signal are taken, for each kind of data; drawn by the seed.

    >>> positions(0)["flipped"][:3].tolist()
    [39, 38, 37]
    """
    random, place = np.random.default_rng([seed, 2]), np.arange(length)
    return {
        "fresh": place,
        "flipped": place[::-1],
        "shuffled": random.permutation(length),
        "chunks": random.permutation(place.reshape(-1, chunk)).ravel(),
    }


def figure(table: pd.DataFrame) -> Figure:
    """Accuracy against sparsity, the transfers, and neighbours in the first layer."""
    drawn, (accuracies, transfers, neighbours) = new_figure("Lottery tickets", 3)
    for mask, published in PAPER.items():
        some = select(table, part="pruning", mask=mask)
        curve(accuracies, *grid(some, "test_accuracy", "sparsity"), mask, color=COLORS[mask])
        curve(neighbours, *grid(some, "adjacency", "sparsity"), mask, color=COLORS[mask])
        crosses(accuracies, published, COLORS[mask])
    crosses(accuracies, {}, "0.4", label="paper")
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
) -> NDArray[Any]:
    """A column of a transfer, (seeds,)."""
    return by_seed(table, column, part="transfer", mask=mask, weights=weights, data=data)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Mask against weights first, then the transfers, the masks' neighbours and the pruning curve."""
    ticket, random = (transferred(table, mask, column="adjacency") for mask in ("lottery", "random"))
    text = "In the first layer the ticket keeps 1.66 times as many pairs of neighbours as a random mask"
    details = {"literature": "0.0093 / 0.0056 = 1.66", "source": SOURCE}
    found = [*_transfers(table), claim_mean("neighbours", text, ticket / random, least=1.33, most=2.0, **details)]
    for mask, published in PAPER.items():
        for sparsity, value in published.items():
            values = by_seed(table, "test_accuracy", part="pruning", mask=mask, sparsity=sparsity)
            if len(values):
                name, text = f"{mask}, {sparsity:.0%}", f"Test accuracy at {sparsity:.0%} sparsity, {mask} mask"
                found.append(claim_published(name, text, values, value, TOLERANCE, source=SOURCE, unit="%"))
    return found


def _transfers(table: pd.DataFrame) -> list[Claim]:
    """What a ticket is worth on a fresh dataset, compared with other networks."""
    dense, random = transferred(table, "dense"), transferred(table, "random")
    ticket, renewed = transferred(table, "lottery"), transferred(table, "lottery", weights="new")
    flipped, shuffled = (transferred(table, "lottery", data=data) for data in ("flipped", "shuffled"))

    def difference(name: str, text: str, values: NDArray[Any], literature: str, **bounds: float) -> Claim:
        return claim_mean(name, text, values, **bounds, literature=literature, source=BLOG, unit="points")

    def published(name: str, text: str, values: NDArray[Any], value: float) -> Claim:
        return claim_published(name, text, values, value, TOLERANCE, source=BLOG, unit="%")

    new = "The ticket's mask with new weights beats"
    above_random = f"{new} a random mask with the ticket's weights"
    above_dense = "On a fresh dataset the ticket beats the dense network"
    as_good = "On flipped signals the ticket is as good as on others, within 2 points"
    worse = "On shuffled signals the ticket is worse than the dense network"
    control = "On a fresh dataset a random mask of that sparsity reaches 58 %"
    return [
        difference("mask above weights", above_random, renewed - random, "67 - 58 = +9", least=0.0),
        published("transfer", "On a fresh dataset the ticket reaches 70 %", ticket, 70),
        difference("ticket above dense", above_dense, ticket - dense, "70 - 64 = +6", least=0.0),
        difference("new weights above dense", f"{new} the dense network", renewed - dense, "67 - 64 = +3", least=0.0),
        difference("flipped as good", as_good, flipped - ticket, "about 0", least=-2.0, most=2.0),
        difference("shuffled below dense", worse, shuffled - dense, "below 0", most=0.0),
        published("random mask", control, random, 58),
    ]


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
        transfer_steps=60,
        transfer_batch=100,
        precision="float32",
        test_samples=1000,
    ),
    units=units,
    figure=figure,
    claims=claims,
    minutes=50,
)
