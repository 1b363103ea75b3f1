"""Settings: every field refuses what it cannot hold, and a named model is a row of a table."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from synthgen.data.layout import ImageLayout, TableLayout
from synthgen.errors import ConfigError
from synthgen.gan.config import PRESETS, TrainConfig, preset

WRONG = {
    "objective": ["wgan-div", None],
    "condition": ["column", 1],
    "steps": [0, 1.5, True, "10"],
    "max_minutes": [0, -1, float("nan"), float("inf"), "5"],
    "batch": [1, 2.0],
    "critic_steps": [0, 101],
    "optimiser": ["sgd"],
    "pace": [0, -1, None],
    "rate": [0, -1e-4, float("nan"), float("inf"), None],
    "betas": [(0.5,), (0.5, 1.0), (-0.1, 0.9), 0.9, ("a", "b")],
    "hold": [-0.1, 1.1],
    "ema": [1.0, -0.1],
    "anchored": [-0.1, 1.1, None],
    "ramp": [-0.1, 1.1],
    "augment": [-0.1, 1.1],
    "flips": [1, None, "yes"],
    "network": ["dense", None],
    "truncation": [-0.1, 1.1],
    "label_mix": [-0.1, 1.1, float("nan")],
    "width": [0, 5000],
    "depth": [0, 17],
    "noise": [0],
    "embedding": [0],
    "temperature": [0.0],
    "log_every": [0],
    "checkpoint_every": [0],
    "threads": [0, 2000],
    "device": ["gpu", "tpu"],
}


def test_every_field_is_checked():
    assert set(WRONG) == {field.name for field in dataclasses.fields(TrainConfig)}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_name_and_range(field, value):
    with pytest.raises(ConfigError, match=rf"^{field} must be .*; got ") as caught:
        TrainConfig(**{field: value})
    assert repr(value) in str(caught.value)


def test_integers_stand_for_numbers_and_lists_for_pairs():
    config = TrainConfig(rate=1, betas=[0, 0.9], steps=10**400)
    assert (config.rate, config.betas) == (1, (0.0, 0.9))
    assert [type(beta) for beta in config.betas] == [float, float]  # torch refuses an integer beside a float


def test_the_range_is_in_the_message():
    with pytest.raises(ConfigError, match=r"ema must be a number in \[0, 1\); got 1.5"):
        TrainConfig(ema=1.5)
    with pytest.raises(ConfigError, match="rate must be a number above 0; got -1"):
        TrainConfig(rate=-1)
    with pytest.raises(ConfigError, match="objective must be one of gan, wgan, wgan-gp, hinge; got 'x'"):
        TrainConfig(objective="x")


def test_presets_are_rows_of_one_table():
    assert list(PRESETS) == ["gan", "wgan", "wgan-gp", "cgan", "cwgan", "cwgan-gp", "dcgan", "cdcgan", "style"]
    for name in ("gan", "wgan", "wgan-gp"):
        plain, conditional = PRESETS[name], PRESETS[f"c{name}"]
        assert (plain.objective, plain.condition, conditional.condition) == (name, "none", "label")
        assert (plain.anchored, conditional.anchored) == (0.0, 0.5 if name == "wgan-gp" else 0.0)
        assert dataclasses.replace(plain, condition="label", anchored=conditional.anchored) == conditional


def test_the_default_is_the_measured_recipe():
    config = preset()
    assert config == PRESETS["cwgan-gp"] == TrainConfig()
    assert (config.steps, config.critic_steps, config.batch, config.width, config.label_mix) == (300, 3, 128, 96, 0.5)
    assert (config.optimiser, config.rate, config.betas, config.hold, config.ema) == (
        "adam",
        3e-4,
        (0, 0.9),
        0.5,
        0.995,
    )
    assert (config.embedding, config.temperature, config.pace, config.anchored) == (16, 0.3, 5, 0.5)


def test_wgan_is_as_published():
    config = preset("cwgan")
    assert (config.optimiser, config.rate, config.critic_steps, config.hold) == ("rmsprop", 5e-5, 5, 1)


def test_images_have_settings_of_their_own_and_the_model_keeps_its():
    layout = ImageLayout(channels=1, size=28)
    for name in PRESETS:
        ours, table = preset(name, layout), preset(name)
        shared = (ours.steps, ours.batch, ours.width, ours.ema, ours.label_mix, ours.anchored, ours.pace, ours.ramp)
        assert shared == (2000, 64, 32, 0.999, 1.0, 0.0, 1.0, 0.2)
        for field in ("objective", "condition", "optimiser", "critic_steps", "betas", "network", "augment", "flips"):
            assert getattr(ours, field) == getattr(table, field)
    assert (preset("cwgan-gp", layout).rate, preset("cgan", layout).rate, preset("cwgan", layout).rate) == (
        2e-4,
        2e-4,
        5e-5,
    )
    assert preset("cwgan-gp", layout, width=8).width == 8
    assert preset("cwgan-gp", TableLayout(2, ())) == preset()


def test_dcgan_and_style_are_rows_of_the_same_table():
    assert (PRESETS["dcgan"], PRESETS["cdcgan"]) == (PRESETS["gan"], PRESETS["cgan"])
    assert dataclasses.replace(PRESETS["style"], network="plain") == PRESETS["cwgan-gp"]


def test_unknown_names_and_keys_name_the_known_ones():
    with pytest.raises(
        ConfigError, match="unknown model 'acgan'; known are: gan, wgan, wgan-gp, cgan, cwgan, cwgan-gp"
    ):
        preset("acgan")
    with pytest.raises(ConfigError, match=r"unknown training setting 'epochs'; known are: objective, .*steps, "):
        preset("cwgan-gp", epochs=300)


def test_settings_survive_json():
    config = preset("cgan", max_minutes=2.5, betas=(0.1, 0.2))
    again = TrainConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert hash(again) == hash(config)


def test_the_table_is_read_without_torch():
    code = "import sys, synthgen.gan.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
