"""Optimisers over one array of weights: the steps of torch.optim, without what its first use imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from synthgen.gan.config import TrainConfig
from synthgen.gan.optimise import OPTIMISERS, end_to_end, lay_out

THEIRS = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
N = 40


@pytest.mark.parametrize(("name", "betas"), [("adam", (0.0, 0.9)), ("adam", (0.5, 0.999)), ("rmsprop", (0.0, 0.9))])
@pytest.mark.parametrize("size", [1.0, 1e-9])
def test_weights_move_as_with_torch(name, betas, size):
    """At 1e-9 the number that keeps a division from zero is most of what is divided by."""
    rng = torch.Generator().manual_seed(0)
    mine = torch.randn(N, generator=rng, dtype=torch.float64)
    theirs = mine.clone().requires_grad_()
    settings = {"betas": betas} if name == "adam" else {}
    reference = THEIRS[name]([theirs], lr=0.01, **settings)
    optimiser = OPTIMISERS[name](mine, TrainConfig(optimiser=name, rate=0.01, betas=betas))
    for step in range(30):
        rate = 0.01 / (1 + step)
        reference.param_groups[0]["lr"] = optimiser.rate = rate
        theirs.grad = torch.randn(N, generator=rng, dtype=torch.float64) * size
        optimiser.step(theirs.grad)
        reference.step()
        torch.testing.assert_close(mine, theirs.detach(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_what_is_restored_continues_to_the_bit(name):
    rng = torch.Generator().manual_seed(0)
    config = TrainConfig(optimiser=name, rate=0.01, betas=(0.5, 0.9))
    weights, gradients = torch.randn(N, generator=rng), torch.randn(6, N, generator=rng)
    optimiser = OPTIMISERS[name](weights, config)
    for gradient in gradients[:3]:
        optimiser.step(gradient)
    again = OPTIMISERS[name](copied := weights.clone(), config)
    again.restore({name: tensor.clone() for name, tensor in optimiser.tensors().items()})
    for gradient in gradients[3:]:
        optimiser.step(gradient)
        again.step(gradient)
    assert torch.equal(weights, copied)


def test_weights_end_to_end_are_the_networks_own():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    x, before = torch.ones(4, 3), [part.clone() for part in network.parameters()]
    scores = network(x)
    flat = lay_out(network)
    assert torch.equal(network(x), scores)
    assert torch.equal(flat, end_to_end(before))
    flat.zero_()
    assert not network(x).any()
    network.load_state_dict({name: torch.ones_like(part) for name, part in network.state_dict().items()})
    assert (flat == 1.0).all()


FIT = """
import sys
sys.path.insert(0, {kit!r})
from gan_kit import tiny, toy
from synthgen.gan.trainer import train
rows, labels = toy()
for name in ("cwgan-gp", "wgan"):
    train(rows, labels, n_labels=2, config=tiny(name, steps=2), seed=0).sample(0, 5, seed=0)
print([name for name in sys.modules if name.startswith(("torch._dynamo", "sympy"))])
"""


def test_training_imports_no_compiler(request):
    script = FIT.format(kit=str(request.path.parent))
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
