"""The cross-entropy of many members is torch's, with its gradient."""

import pytest
import torch
from torch.nn import functional

from mnist1d_hf.training.losses import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 100.0], ids=["moderate", "sure of itself"])
def test_loss_and_gradient_are_torchs(smoothing, scale):
    generator = torch.Generator().manual_seed(0)
    ours = (scale * torch.randn(3, 50, 10, generator=generator)).requires_grad_()
    label = torch.randint(10, (3, 50), generator=generator)
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.tensor([1.0, 2.0, -0.5])  # what the loss is used for makes no difference
    found = cross_entropy(ours, label, smoothing)
    expected = torch.stack(
        [functional.cross_entropy(x, y, label_smoothing=smoothing) for x, y in zip(theirs, label, strict=True)]
    )
    torch.testing.assert_close(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


def test_a_member_that_diverges_is_seen_and_spoils_no_other():
    logits = torch.randn(3, 20, 10, generator=torch.Generator().manual_seed(0))
    logits[1, 4, 2] = torch.nan
    logits.requires_grad_()
    loss = cross_entropy(logits, torch.zeros(3, 20, dtype=torch.long))
    loss.sum().backward()
    assert loss.isfinite().tolist() == [True, False, True]
    assert logits.grad[[0, 2]].isfinite().all()


def test_the_logits_stay_as_they_are():
    """Also where they lie in memory as the function wants them, as those of a single sample do."""
    logits = torch.arange(10.0).view(1, 1, 10)
    cross_entropy(logits, torch.zeros(1, 1, dtype=torch.long))
    assert logits.flatten().tolist() == list(range(10))


def test_there_is_no_wrong_second_derivative():
    """Unrolled optimisation needs one, and must be told that it is not to be had here."""
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    loss = cross_entropy(logits, torch.zeros(1, 2, dtype=torch.long)).sum()
    (gradient,) = torch.autograd.grad(loss.square(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
