"""Networks for images: any side and channels, no batch mates, gradients in closed form, bits that come back."""

from __future__ import annotations

import itertools

import pytest
import torch
from gan_kit import PIXELS, bits, pictures, tiny_images
from torch.nn.functional import conv_transpose2d, leaky_relu

from synthgen.data.layout import ImageLayout
from synthgen.errors import ConfigError, DataError, TooFewRows
from synthgen.gan import conv
from synthgen.gan.base import Critic
from synthgen.gan.condition import condition_of
from synthgen.gan.config import PRESETS
from synthgen.gan.conv import SpectralWeight, first_side
from synthgen.gan.image_anchors import ImageAnchors
from synthgen.gan.networks import build
from synthgen.gan.rows import ImageRows
from synthgen.gan.style import StyledLayer
from synthgen.gan.trainer import Fitted, train
from synthgen.seeding import torch_rng

SIDES = [8, 9, 12, 14, 15, 16, 28, 30, 32, 64, 128]


def networks(layout=PIXELS, *, seed=0, n_labels=2, training=False, **overrides):
    config = tiny_images(layout=layout, **overrides)
    condition = condition_of(config, n_labels=n_labels)
    generator, critic = build(layout, condition, config, seed=seed)
    return condition, generator.train(training), critic.train(training)


def conditions(condition, n):
    return condition.one_hot(condition.codes(torch.arange(n) % 2))


def fit(name="cwgan-gp", *, layout=PIXELS, checkpoints=None, start=None, seed=0, n=60, **overrides):
    rows, labels = pictures(n, layout=layout)
    config = tiny_images(name, layout, **overrides)
    return train(rows, labels, n_labels=2, config=config, seed=seed, checkpoints=checkpoints, start=start)


@pytest.mark.parametrize("network", ["cwgan-gp", "style"])
@pytest.mark.parametrize("side", SIDES)
def test_any_side_and_channels_have_their_networks(network, side):
    for channels in (1, 3) if side < 64 else (3,):
        condition, generator, critic = networks(ImageLayout(channels, side), name=network)
        images = generator(generator.noise(3, torch_rng(0)), conditions(condition, 3))
        assert images.shape == (3, channels, side, side)
        assert -1 <= images.min() < images.max() <= 1
        assert critic(images, conditions(condition, 3)).shape == (3,)
        assert critic.input_gradient(images, conditions(condition, 3)).shape == images.shape
        pixels, codes = generator.sample(generator.noise(3, torch_rng(0)), conditions(condition, 3))
        assert torch.equal(pixels, images)
        assert codes.shape == (3, 0)


def test_a_generator_starts_from_four_to_seven_pixels_and_doubles():
    for side in range(8, 300):
        first, doublings = first_side(side)
        assert 4 <= first <= 7
        assert side <= first * 2**doublings < side + 2**doublings
    with pytest.raises(ConfigError, match="images of 7 pixels a side are too small for a network; give them 8 or more"):
        networks(ImageLayout(1, 7))


@pytest.mark.parametrize("side", [8, 9, 15, 28])
def test_the_critics_gradient_in_closed_form_is_that_of_double_backward(side):
    layout = ImageLayout(3, side)
    condition, _, critic = networks(layout)
    x, told = torch.rand(5, 3, side, side, generator=torch_rng(0)) - 0.5, conditions(condition, 5)
    mine, theirs = critic.input_gradient(x, told), Critic.input_gradient(critic, x, told)
    torch.testing.assert_close(mine, theirs)
    weights = [weight for name, weight in critic.named_parameters() if "biases" not in name and name != "level"]
    penalties = [(part.flatten(1).norm(dim=1) - 1).square().mean() for part in (mine, theirs)]
    for one, other in zip(*(torch.autograd.grad(part, weights) for part in penalties), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", [*PRESETS, "hinge"])
def test_a_sample_never_depends_on_its_batch_mates(name):
    overrides = {"objective": "hinge"} if name == "hinge" else {"name": name}
    condition, generator, critic = networks(training=True, **overrides)
    told = conditions(condition, 6)
    noise = generator.noise(6, torch_rng(0))
    other = torch.cat([noise[:1], generator.noise(5, torch_rng(1))])
    assert torch.equal(generator(noise, told)[0], generator(other, told)[0])
    x = generator(noise, told).detach()
    critic.eval()
    assert torch.equal(critic(x, told)[0], critic(torch.cat([x[:1], 0.5 * x[1:]]), told)[0])


def test_norms_hear_the_class_from_14_pixels_up_and_in_smaller_images_the_last_does():
    for side, heard in [(28, [0, 3, 3]), (32, [0, 0, 3, 3]), (64, [0, 0, 3, 3, 3]), (14, [0, 3]), (8, [0, 3])]:
        _, generator, _ = networks(ImageLayout(1, side))
        assert [norm.heard for norm in generator.norms] == heard


@pytest.mark.parametrize("name", ["cwgan-gp", "style"])
def test_a_label_is_heard_by_both_and_nothing_is_without_a_condition(name):
    condition, generator, critic = networks(name=name)
    noise, one, two = generator.noise(4, torch_rng(0)), *(condition.one_hot(torch.full((4,), k)) for k in (0, 1))
    x = generator(noise, one)
    assert not torch.equal(x, generator(noise, two))
    assert not torch.equal(critic(x, one), critic(x, two))
    assert torch.equal(generator(noise, 0 * one), generator(noise, 0 * two))
    plain, _, _ = networks(name="wgan-gp")
    assert (plain.width, plain.n_codes) == (0, 1)
    assert plain.codes(torch.tensor([0, 1, 1])).tolist() == [0, 0, 0]


def test_spectral_weights_have_a_largest_singular_value_of_one():
    weight = SpectralWeight(4, 3, 2, 2, fan_in=1, rng=torch_rng(0))
    for _ in range(200):
        matrix = weight.effective().flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1.0, abs=1e-3)
    before = weight.eval().u.clone()
    weight.effective()
    assert torch.equal(before, weight.u)
    _, _, critic = networks(objective="hinge")
    assert {type(part).__name__ for part in (*critic.downs, critic.head, critic.classes)} == {"SpectralWeight"}
    _, _, critic = networks()
    assert not any(isinstance(part, SpectralWeight) for part in critic.modules())


@pytest.mark.parametrize("doubles", [False, True])
def test_a_modulated_layer_is_a_convolution_with_a_weight_of_each_sample(doubles):
    layer = StyledLayer(3, 5, doubles=doubles, style=4, rng=torch_rng(0))
    rng = torch_rng(1)
    side = 12 if doubles else 6
    h, style = torch.randn(2, 3, 6, 6, generator=rng), torch.randn(2, 4, generator=rng)
    noise = torch.randn(2, 1, side, side, generator=rng)
    out = layer(h, style, noise)
    scale = style @ layer.style.weight.t() + layer.style.bias
    for at in range(2):
        weight = layer.weight.weight * scale[at, :, None, None, None]
        taps = layer.stride**2
        weight = weight / (weight.square().sum((0, 2, 3), keepdim=True) / taps).sqrt() * 2**0.5
        plain = conv_transpose2d(h[at : at + 1], weight, stride=layer.stride, padding=1)
        plain = plain + layer.bias[:, None, None] + noise[at] * layer.loudness[:, None, None]
        torch.testing.assert_close(out[at : at + 1], leaky_relu(plain, 0.2))


def test_truncation_draws_styles_towards_their_class_and_noise_stays():
    spread = {}
    for truncation in (1.0, 0.5, 0.0):
        condition, generator, _ = networks(name="style", truncation=truncation)
        noise, told = generator.noise(16, torch_rng(0)), condition.one_hot(torch.zeros(16).long())
        pixels, _ = generator.sample(noise, told)
        assert pixels.std(0).mean() > 0  # each pixel's own noise
        noise[:, generator.n_noise :] = 0
        spread[truncation] = generator.sample(noise, told)[0].std(0).mean().item()
        other, _ = generator.sample(noise, condition.one_hot(torch.ones(16).long()))
        assert not torch.equal(other, generator.sample(noise, told)[0])
    assert spread[1.0] > spread[0.5] > spread[0.0]
    assert spread[0.0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", [*PRESETS, "hinge"])
def test_every_preset_trains_on_images(name):
    layout = ImageLayout(3, 12)
    model = fit(layout=layout, **({"objective": "hinge"} if name == "hinge" else {"name": name}))
    pixels, codes = model.sample(1, 5, seed=0)
    assert (pixels.shape, codes.shape, pixels.dtype) == ((5, 3, 12, 12), (5, 0), torch.float32)
    assert model.step == 4
    assert -1 <= pixels.min() < pixels.max() <= 1


def test_a_run_on_images_continues_to_the_bit(tmp_path):
    for name in ("cwgan-gp", "style"):
        whole = bits(fit(name, seed=3))
        folder = tmp_path / name
        fit(name, seed=3, checkpoints=folder)
        for path in folder.glob("step-00000004*"):
            path.unlink()
        assert bits(fit(name, seed=3, checkpoints=folder)) == whole == bits(fit(name, seed=3))
        assert bits(fit(name, seed=4)) != whole


def test_images_of_a_model_do_not_depend_on_how_they_are_cut(tmp_path):
    model = fit()
    whole, _ = model.sample(1, 150, seed=5)
    for cuts in ([0, 1, 63, 64, 65, 150], [0, 100, 150]):
        parts = [model.sample(1, high - low, seed=5, first=low)[0] for low, high in itertools.pairwise(cuts)]
        assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole[:64], whole[64:128])
    assert torch.equal(whole[77:78], model.sample(1, 1, seed=5, first=77)[0])
    model.save(tmp_path)
    again = Fitted.load(tmp_path)
    assert torch.equal(again.sample(1, 150, seed=5)[0], whole)
    assert again.layout == PIXELS


def test_samples_are_of_full_precision_wherever_they_were_trained(monkeypatch):
    model = fit()
    before, _ = model.sample(0, 10, seed=0)
    monkeypatch.setattr(conv, "_has_bfloat16", lambda device: True)
    assert torch.equal(before, model.sample(0, 10, seed=0)[0])
    _, generator, _ = networks(training=True)
    noise, told = generator.noise(2, torch_rng(0)), torch.eye(2)
    quick = generator(noise, told)
    assert quick.dtype == torch.float32
    assert not torch.equal(quick, generator.eval()(noise, told))


def test_a_fine_tune_on_images_continues_from_its_base():
    base = fit()
    near = fit(start=base, steps=1, rate=1e-12)
    for name, tensor in near.generator.state_dict().items():
        torch.testing.assert_close(tensor, base.generator.state_dict()[name])
    with pytest.raises(ConfigError, match="another network: 'plain' there and 'style' here"):
        fit("style", start=base)


def test_images_that_do_not_fit_are_refused():
    pixels = torch.zeros(3, 1, 8, 8)
    for wrong, message in [
        (pixels.double(), "float32"),
        (pixels[:, :, :7], "float32 of ImageLayout"),
        (pixels / 0, "NaN"),
    ]:
        with pytest.raises(DataError, match=message):
            ImageRows(wrong, PIXELS)
    with pytest.raises(TooFewRows):
        ImageRows(pixels[:0], PIXELS)
    rows, _ = pictures()
    other, _ = pictures()
    assert rows.digest() == other.digest()
    assert torch.equal(rows.batch(torch.tensor([2, 2]))[0], rows.batch(torch.tensor([0, 2]))[1])


def anchors_of_five():
    labels = torch.tensor([0, 1, 0, 0, 2])
    pixels = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 8, 8).contiguous()
    return ImageAnchors(ImageRows(pixels, PIXELS), labels), labels


def test_a_pair_is_an_anchor_and_another_image_of_its_class():
    anchors, labels = anchors_of_five()
    index = torch.arange(5).repeat(400)
    beside, shown = anchors.pairs(index, share=0.5, rng=torch_rng(0))
    flag, image = shown[:, 0] == 1, shown[:, 1:]
    assert flag.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(labels[beside], labels[index])
    assert torch.equal(image[flag], index[flag].float().unsqueeze(1).expand(-1, 64))
    assert torch.equal(beside[~flag], index[~flag])
    assert shown[~flag].abs().sum() == 0
    several = flag & (labels[index] == 0)
    assert (beside[several] != index[several]).all()
    found = {tuple(pair) for pair in torch.stack([index, beside], 1)[several].tolist()}
    assert found == set(itertools.permutations((0, 2, 3), 2))
    alone = flag & (labels[index] > 0)
    assert torch.equal(beside[alone], index[alone])  # the only image of a class is its own pair


def test_samples_start_from_images_of_their_class():
    anchors, _ = anchors_of_five()
    shown = anchors.shown(0, 500, share=1.0, rng=torch_rng(0))
    assert shown[:, 1].unique().tolist() == [0.0, 2.0, 3.0]
    assert anchors.shown(2, 4, share=1.0, rng=torch_rng(0))[:, 1:].unique().tolist() == [4.0]
    assert anchors.shown(0, 500, share=0.0, rng=torch_rng(0)).abs().sum() == 0


def test_a_model_that_starts_from_images_trains_saves_and_continues(tmp_path):
    rows, labels = pictures()
    config = tiny_images(anchored=0.5)
    model = train(rows, labels, n_labels=2, config=config, seed=0, anchors=ImageAnchors(rows, labels))
    model.save(tmp_path / "model")
    again = Fitted.load(tmp_path / "model")
    for share in (0.0, 1.0):
        made = model.sample(1, 70, seed=2, anchored=share)[0]
        assert torch.equal(made, again.sample(1, 70, seed=2, anchored=share)[0])
        assert torch.equal(made[66:], model.sample(1, 4, seed=2, first=66, anchored=share)[0])
    assert not torch.equal(model.sample(1, 5, seed=2, anchored=1.0)[0], model.sample(1, 5, seed=2)[0])
    parts = {"rows": rows, "labels": labels, "n_labels": 2, "config": config, "seed": 0}
    folder = tmp_path / "run"
    train(**parts, anchors=ImageAnchors(rows, labels), checkpoints=folder)
    for path in folder.glob("step-00000004*"):
        path.unlink()
    assert bits(train(**parts, anchors=ImageAnchors(rows, labels), checkpoints=folder)) == bits(model)
    with pytest.raises(ConfigError, match="the style network starts from no real image; leave anchored at 0"):
        train(rows, labels, n_labels=2, config=tiny_images("style", anchored=0.5), seed=0, anchors=model.anchors)
    with pytest.raises(DataError, match=r"labels of anchors must be int64 of shape \(60,\)"):
        ImageAnchors(rows, labels[:5])


def test_generator_and_critic_look_at_the_anchor():
    config = tiny_images()
    rows, labels = pictures()
    anchors = ImageAnchors(rows, labels)
    condition = condition_of(config, n_labels=2, shown=anchors.width)
    generator, critic = (part.eval() for part in build(PIXELS, condition, config))
    noise, code = generator.noise(6, torch_rng(0)), condition.one_hot(torch.zeros(6).long())
    told = [torch.cat([code, anchors.shown(0, 6, share=1.0, rng=torch_rng(seed))], 1) for seed in (1, 2)]
    x, other = generator(noise, told[0]), generator(noise, told[1])
    assert not torch.equal(x, other)
    assert not torch.equal(critic(x, told[0]), critic(x, told[1]))
    mine, theirs = critic.input_gradient(x, told[0]), Critic.input_gradient(critic, x, told[0])
    assert mine.shape == x.shape
    torch.testing.assert_close(mine, theirs)
