"""The stream and the exact generator, judged by models: what one learns on either must hold on the other.

Data, weights and order have fixed seeds, apart from PyTorch's own; each test states how often other seeds would fail.
"""

import functools

import numpy as np
import pytest
from scipy import stats

from mnist1d_hf import GeneratorConfig, make_dataset, sample

torch = pytest.importorskip("torch", reason="needs the extra torch")
nn = torch.nn

TRAIN, TEST = 160_000, 100_000  # samples of each source
FALSE_ALARM = 1e-4
BOUND = stats.norm.isf(FALSE_ALARM / 2)  # standard errors, both sides


def _stream(test, **arguments):
    """One stream: the test samples are those that follow the training samples."""
    indices = range(TRAIN, TRAIN + TEST) if test else range(TRAIN)
    x, label = sample(indices, 21, GeneratorConfig(**arguments))
    return torch.from_numpy(x), torch.from_numpy(label)


@functools.cache
def _exact(test):
    """Two datasets with different seeds: in a split of one, each half's numbers of labels would tell the other's."""
    data = make_dataset(GeneratorConfig(num_samples=TEST if test else TRAIN, seed=23 if test else 22))
    x = np.concatenate([data["x"], data["x_test"]]).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(np.concatenate([data["y"], data["y_test"]]))


def _train(make_model, x, target, epochs, batch, rate):
    """A model from `make_model`, trained by Adam with one cycle of the learning rate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_model()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    batches = [part for _ in range(epochs) for part in torch.randperm(len(x), generator=generator).split(batch)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(batches))
    for part in batches:
        loss = nn.functional.cross_entropy(model(x[part]), target[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def _accuracy(model, x, target):
    parts = zip(x.split(2000), target.split(2000), strict=True)
    return sum(int((model(x_part).argmax(1) == part).sum()) for x_part, part in parts) / len(x)


class _Differences(nn.Module):
    """Signals with their first and second differences, which show the noise, and the labels: (n, 50) -> (n, 127)."""

    def forward(self, rows):
        x = rows[:, :40]
        return torch.cat([rows, 3 * x.diff(dim=1), 5 * x.diff(n=2, dim=1)], dim=1)


def _judge():
    return nn.Sequential(
        _Differences(), nn.Linear(127, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
    )


def _mixed(test, arguments):
    """Signals with one-hot labels from both sources, each standardised by itself, and which source: 0 or 1."""
    rows = []
    for x, label in (_exact(test), _stream(test, **arguments)):
        rows.append(torch.cat([(x - x.mean()) / x.std(), nn.functional.one_hot(label, 10)], dim=1))
    return torch.cat(rows), torch.arange(2).repeat_interleave(len(rows[0]))


def _two_sample_score(**arguments):
    """Held-out accuracy of telling a stream from the exact generator, in binomial standard errors above one half."""
    judge = _train(_judge, *_mixed(False, arguments), epochs=2, batch=512, rate=5e-3)
    return (_accuracy(judge, *_mixed(True, arguments)) - 0.5) / np.sqrt(0.25 / (2 * TEST))


def test_a_classifier_cannot_tell_the_stream_from_the_exact_generator():
    """Classifier two-sample test (Lopez-Paz & Oquab 2017) on signals and labels together. If the distributions are
    equal, the number of correct answers among the 200,000 held out is at most as spread as a binomial one (the exact
    generator's equal numbers of labels only narrow it): false alarm at most once in ten thousand seeds."""
    score = _two_sample_score()
    assert abs(score) < BOUND, f"held-out accuracy is {score:.1f} standard errors from 1/2"


@pytest.mark.parametrize(
    "arguments",
    [{"iid_noise_scale": 0.022}, {"corr_noise_scale": 0.275}, {"shear_scale": 0.825}, {"max_translation": 47}],
    ids=str,
)
def test_the_classifier_sees_small_differences(arguments):
    """The test above can fail: it refuses streams with a tenth more of either noise or of shear (20 standard errors)
    and even one point less of translation (8)."""
    assert _two_sample_score(**arguments) > BOUND


def _paper_cnn():
    """The convolutional network of the paper."""
    convolutions = [nn.Conv1d(1, 25, 5, 2, 1), nn.ReLU()]
    for _ in range(2):
        convolutions += [nn.Conv1d(25, 25, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(nn.Unflatten(1, (1, 40)), *convolutions, nn.Flatten(), nn.Linear(125, 10))


def _transfer(source):
    """Accuracies on 100,000 fresh samples of the stream and of the exact generator, and the standard error of their
    difference (two independent binomial proportions)."""
    model = _train(_paper_cnn, *source(test=False), epochs=2, batch=256, rate=1e-2)
    ours, theirs = (_accuracy(model, *fresh(test=True)) for fresh in (_stream, _exact))
    return ours, theirs, np.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / TEST)


@pytest.mark.parametrize("source", [_stream, _exact], ids=["stream", "exact"])
def test_a_model_scores_the_same_on_both(source):
    """A CNN trained on either source is as good on fresh data of the other: the difference of the two accuracies is
    within 3.9 standard errors (about 0.3 %). False alarm once in ten thousand seeds."""
    ours, theirs, error = _transfer(source)
    assert min(ours, theirs) > 0.95  # it has learnt, or there would be nothing to compare
    assert abs(ours - theirs) < BOUND * error
