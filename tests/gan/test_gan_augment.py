"""What the critic is shown in training: each image by chance, real and synthetic alike, and never a sample."""

from __future__ import annotations

import itertools

import pytest
import torch
from gan_kit import PIXELS, pictures, tiny_images

from synthgen.data.layout import ImageLayout
from synthgen.gan import trainer
from synthgen.gan.augment import Augmentation
from synthgen.gan.conv import ConvCritic
from synthgen.gan.optimise import end_to_end
from synthgen.gan.rows import LabelMix
from synthgen.gan.state import TrainState
from synthgen.gan.trainer import train
from synthgen.seeding import torch_rng


def images(n=4_000, channels=1, side=16):
    return torch.rand(n, channels, side, side, generator=torch_rng(9)) * 2 - 1


def changed(before, after):
    return (before != after).flatten(1).any(1).double().mean().item()


def test_images_are_moved_with_their_probability_by_one_eighth_at_most():
    x = images()
    moved = Augmentation(0.7, colour=False, flips=False)(x, torch_rng(0))
    assert changed(x, moved) == pytest.approx(0.7 * 24 / 25, abs=0.02)  # one move in 25 is by nothing
    at, found = torch.arange(16), set()
    for one, other in zip(x[:300], moved[:300], strict=True):
        steps = [
            (dy, dx)
            for dy, dx in itertools.product(range(-2, 3), repeat=2)
            if torch.equal(other, one[:, (at + dy).clamp(0, 15)][:, :, (at + dx).clamp(0, 15)])  # the edge is repeated
        ]
        assert len(steps) == 1
        found.update(steps)
    assert len(found) == 25


def test_nothing_happens_at_probability_zero_and_nothing_is_drawn():
    x, rng = images(5), torch_rng(0)
    before = rng.get_state()
    assert Augmentation(0.0, colour=True, flips=False)(x, rng) is x
    assert torch.equal(before, rng.get_state())


def test_images_are_mirrored_only_where_told_and_then_every_second_one():
    x = images(1_000)
    for flips, share in [(False, 0.0), (True, 0.5)]:
        out = Augmentation(0.0 if flips else 1e-9, colour=False, flips=flips)(x, torch_rng(0))
        mirrored = (out == x.flip(3)).flatten(1).all(1).double().mean().item()
        assert mirrored == pytest.approx(share, abs=0.05)
        assert changed(x, out) == pytest.approx(share, abs=0.05)


def test_colours_change_with_the_probability_and_only_where_told():
    x = images(2_000, channels=3)
    plain = Augmentation(0.7, colour=False, flips=False)(x, torch_rng(0))
    out = Augmentation(0.7, colour=True, flips=False)(x, torch_rng(0))
    assert changed(plain, out) == pytest.approx(0.7, abs=0.03)
    assert abs((out - plain).mean().item()) < 0.02  # brighter and darker alike
    for channels, colour in [(1, False), (3, True)]:
        layout = ImageLayout(channels, 8)
        condition = trainer.condition_of(tiny_images(), n_labels=2)
        _, critic = trainer.build(layout, condition, tiny_images(), seed=0)
        assert critic._augmentation == Augmentation(0.7, colour=colour, flips=False)


def test_gradients_go_through():
    x = images(50, channels=3).requires_grad_()
    out = Augmentation(0.7, colour=True, flips=True)(x, torch_rng(0))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).any((1, 2, 3)).all()


def test_what_is_drawn_follows_from_the_generator():
    x, augment = images(50), Augmentation(0.7, colour=False, flips=True)
    assert torch.equal(augment(x, torch_rng(1)), augment(x, torch_rng(1)))
    assert not torch.equal(augment(x, torch_rng(1)), augment(x, torch_rng(2)))


def run(**overrides):
    rows, labels = pictures()
    return train(rows, labels, n_labels=2, config=tiny_images(**overrides), seed=0)


def test_real_and_synthetic_are_augmented_before_critic_and_penalty_and_samples_never(monkeypatch):
    """Augmentation paints everything in one colour here: the critic sees nothing else, samples have none of it."""
    seen, blends = [], []
    forward, gradient = ConvCritic.forward, ConvCritic.input_gradient
    monkeypatch.setattr(ConvCritic, "augment", lambda self, x, rng: x * 0 + 0.123)
    monkeypatch.setattr(ConvCritic, "forward", lambda self, x, told: seen.append(x.detach()) or forward(self, x, told))
    monkeypatch.setattr(
        ConvCritic, "input_gradient", lambda self, x, told: blends.append(x.detach()) or gradient(self, x, told)
    )
    model = run()
    assert len(seen) == 4 * (3 * 2 + 1)
    assert len(blends) == 4 * 3
    for x in (*seen, *blends):
        torch.testing.assert_close(x, torch.full_like(x, 0.123))
    monkeypatch.setattr(ConvCritic, "augment", None)
    pixels, _ = model.sample(0, 5, seed=0)
    assert (pixels - 0.123).abs().max() > 0.05


def test_the_class_is_heard_from_nothing_to_in_full_over_the_ramp(monkeypatch):
    heard = []
    forward = ConvCritic.forward
    monkeypatch.setattr(
        ConvCritic,
        "forward",
        lambda self, x, told: heard.append(told.sum(1).unique().tolist()) or forward(self, x, told),
    )
    run(steps=8, ramp=0.5, critic_steps=1)
    assert heard[::3] == [[0.0], [0.25], [0.5], [0.75], [1.0], [1.0], [1.0], [1.0]]
    heard.clear()
    run(steps=2, ramp=0.0)
    assert all(values == [1.0] for values in heard)


def test_batches_are_even_over_the_classes(monkeypatch):
    drawn = []
    draw = LabelMix.draw
    monkeypatch.setattr(LabelMix, "draw", lambda *a: drawn.append(draw(*a)) or drawn[-1])
    run(batch=64, steps=10)
    share = torch.cat([part.labels for part in drawn]).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.05)  # a quarter of the images


def test_a_gradient_laid_out_otherwise_is_followed_as_it_is():
    """Convolutions may give gradients in another order of memory than their weights have."""
    config = tiny_images()
    networks = trainer.build(PIXELS, trainer.condition_of(config, n_labels=2), config, seed=0)
    state = TrainState(*networks, config)
    weight = state.generator.ups[0].weight
    before, slope = weight.detach().clone(), torch.randn(weight.shape, generator=torch_rng(0))
    gradients = [torch.zeros_like(part) for part in state.generator.parameters() if part is not weight]
    at = next(at for at, part in enumerate(state.generator.parameters()) if part is weight)
    gradients.insert(at, slope.to(memory_format=torch.channels_last))
    state.set_rate(0.1)
    state.generator_optimiser.step(end_to_end(gradients))
    torch.testing.assert_close(weight.detach(), before - 0.1 * slope.sign(), atol=1e-4, rtol=0)
