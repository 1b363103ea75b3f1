"""The loop: what a batch is, what a step may touch, what comes back, and what happens when numbers leave the finite."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools

import pytest
import torch
from gan_kit import FOR_TABLES, LAYOUT, bits, tiny, toy
from torch.utils._python_dispatch import TorchDispatchMode

from synthgen.data.layout import TableLayout
from synthgen.errors import ConfigError, DataError, Diverged
from synthgen.gan import trainer
from synthgen.gan.mlp import TableCritic, TableGenerator
from synthgen.gan.rows import LabelMix
from synthgen.gan.state import TrainState
from synthgen.gan.trainer import TableRows, train


def fit(name="cwgan-gp", *, seed=0, n=200, layout=LAYOUT, observer=None, start=None, **overrides):
    rows, labels = toy(n, layout=layout)
    config = tiny(name, **overrides)
    return train(rows, labels, n_labels=2, config=config, seed=seed, observer=observer, start=start)


@pytest.fixture
def heard(monkeypatch):
    """What the critic was asked, batch by batch: samples and conditions."""
    calls = []
    lesson, verdict = TableCritic.lesson, TableCritic.verdict

    def watched_lesson(self, objective, batch):
        calls.extend([(batch.real, batch.condition), (batch.fake, batch.condition)])
        return lesson(self, objective, batch)

    def watched_verdict(self, objective, made, told, rng):
        calls.append((made, told))
        return verdict(self, objective, made, told, rng)

    monkeypatch.setattr(TableCritic, "lesson", watched_lesson)
    monkeypatch.setattr(TableCritic, "verdict", watched_verdict)
    return calls


@pytest.mark.parametrize("name", [*FOR_TABLES, "hinge"])
@pytest.mark.parametrize("layout", [LAYOUT, TableLayout(3, ()), TableLayout(0, (4, 2))])
def test_every_objective_trains_on_every_layout(name, layout):
    model = fit(layout=layout, **({"objective": "hinge"} if name == "hinge" else {"name": name}))
    assert model.step == 12
    numeric, codes = model.sample(1, 50, seed=0)
    assert numeric.shape == (50, layout.n_numeric)
    assert codes.shape == (50, len(layout.levels))
    assert torch.isfinite(numeric).all()


def test_a_batch_is_all_real_or_all_synthetic(heard):
    rows, labels = toy()
    train(rows, labels, n_labels=2, config=tiny(), seed=0)
    real = {tuple(row) for row in rows.batch(torch.arange(len(rows))).tolist()}
    kinds = []
    for x, _ in heard:
        assert len(x) == 16
        of_real = [tuple(row) in real for row in x.tolist()]
        assert all(of_real) or not any(of_real)
        kinds.append(of_real[0])
    assert kinds == ([True, False] * 3 + [False]) * 12  # three critic steps, then the generator's


def test_real_and_synthetic_come_with_the_same_labels_drawn_from_the_mix(heard):
    rows, labels = toy(400)
    train(rows, labels, n_labels=2, config=tiny(steps=60), seed=0)
    of_critic = [calls for at, calls in enumerate(heard) if at % 7 < 6]
    for (_, told_real), (_, told_fake) in zip(of_critic[::2], of_critic[1::2], strict=True):
        assert torch.equal(told_real, told_fake)
    expected = 0.5 * labels.double().mean() + 0.25
    for calls in (of_critic, heard[6::7]):  # the critic's batches, and the generator's own
        share = torch.cat([told for _, told in calls])[:, 1].double().mean()
        assert share.item() == pytest.approx(expected.item(), abs=0.05)


def weights_of(network):
    return [weight.detach().clone() for weight in network.parameters()]


def same(before, network):
    return all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_each_step_moves_its_own_network_alone(monkeypatch):
    seen = []
    step, update = trainer._critic_step, TrainState.update_average

    def watched_step(state, objective, batch):
        of_critic, of_generator = weights_of(state.critic), weights_of(state.generator)
        lesson = step(state, objective, batch)
        seen.append((same(of_critic, state.critic), same(of_generator, state.generator)))
        state.before = weights_of(state.critic), of_generator
        return lesson

    def watched_update(self):
        seen.append(tuple(map(same, self.before, (self.critic, self.generator))))
        update(self)

    monkeypatch.setattr(trainer, "_critic_step", watched_step)
    monkeypatch.setattr(TrainState, "update_average", watched_update)
    fit()
    assert seen == ([(False, True)] * 3 + [(True, False)]) * 12


def test_what_comes_back_is_the_averaged_generator_in_eval_mode(monkeypatch):
    raw = []
    update = TrainState.update_average

    def watched(self):
        update(self)
        raw.append({name: tensor.clone() for name, tensor in self.generator.state_dict().items()})

    monkeypatch.setattr(TrainState, "update_average", watched)
    first = fit(steps=1, ema=0.0)  # a decay of zero keeps the present weights
    assert all(torch.equal(raw[0][name], tensor) for name, tensor in first.generator.state_dict().items())
    raw.clear()
    model = fit(ema=0.7)
    average = None
    for step, weights in enumerate(raw):
        decay = min(0.7, (1 + step) / (4 + step))
        start = average or initial(seed=0)
        average = {name: decay * start[name] + (1 - decay) * weights[name] for name in weights}
    for name, tensor in model.generator.state_dict().items():
        torch.testing.assert_close(tensor, average[name])
    assert not model.generator.training
    assert not model.critic.training
    assert not any(weight.requires_grad for weight in model.generator.parameters())


def initial(*, seed):
    condition = trainer.condition_of(tiny(), n_labels=2)
    return trainer.build(LAYOUT, condition, tiny(), seed=seed)[0].state_dict()


def test_a_seed_decides_the_run_and_the_process_wide_generator_is_left_alone():
    state = torch.get_rng_state()
    one = bits(fit(seed=7))
    torch.rand(5)
    assert bits(fit(seed=7)) == one != bits(fit(seed=8))
    torch.set_rng_state(state)
    fit()
    assert torch.equal(state, torch.get_rng_state())


def test_every_step_has_draws_of_its_own_and_they_follow_from_seed_and_step(monkeypatch):
    def drawn(seed, **overrides):
        out = []
        draw, noise = LabelMix.draw, TableGenerator.noise

        def watched_draw(*a):
            found = draw(*a)
            out.append((tuple(found.rows.tolist()), found.blend.sum().item()))
            return found

        with monkeypatch.context() as patch:
            patch.setattr(LabelMix, "draw", watched_draw)
            patch.setattr(TableGenerator, "noise", lambda *a: out.append(noise(*a).sum().item()) or noise(*a))
            fit(seed=seed, **overrides)
        return out

    first = drawn(0)
    assert len(set(first)) == len(first) == 24
    assert first == drawn(0, rate=1e-5)  # whatever the weights
    assert not set(first) & set(drawn(1))


@pytest.mark.parametrize("n", [2, 3, 15])
def test_fewer_rows_than_a_batch_are_enough(n):
    assert fit(n=n).step == 12


def test_steps_wait_for_the_device_at_looks_only():
    class Waits(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.overloadpacket.__name__
            self.count += name in {"_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero"}
            return func(*args, **(kwargs or {}))

    def waits(steps):
        with Waits() as mode:
            fit(steps=steps, log_every=1000, checkpoint_every=1000)
        return mode.count

    assert waits(5) == waits(25)


def test_the_observer_hears_of_step_zero_and_of_every_look():
    heard = []
    model = fit(steps=10, log_every=3, checkpoint_every=100, observer=heard.append)
    assert [progress.step for progress in heard] == [0, 3, 6, 9, 10]
    assert heard[0].figures == {}
    assert [progress.figures for progress in heard[1:]] == model.history
    assert all(progress.steps == 10 for progress in heard)
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(heard))


def test_the_history_holds_the_earth_mover_estimate(heard):
    model = fit(steps=4, critic_steps=1, log_every=4)
    assert set(model.history[0]) == {"step", "critic_loss", "earth_mover", "penalty", "generator_loss", "rate"}
    assert "score_gap" in fit("cgan").history[0]
    rows, labels = toy()
    gaps = []
    lesson = TableCritic.lesson

    def watched(self, objective, batch):
        gaps.append(self(batch.real, batch.condition).mean() - self(batch.fake, batch.condition).mean())
        return lesson(self, objective, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TableCritic, "lesson", watched)
        again = train(rows, labels, n_labels=2, config=tiny(steps=4, critic_steps=1), seed=0)
    by_hand = sum(gaps) / 4
    assert again.history[0]["earth_mover"] == pytest.approx(by_hand.item(), abs=1e-6)


def test_the_rate_holds_then_falls_to_zero(monkeypatch):
    rates = []
    monkeypatch.setattr(TrainState, "set_rate", lambda self, rate: rates.append(rate))
    fit(steps=8, rate=1.0)
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    rates.clear()
    fit(steps=3, rate=1.0, hold=1.0)
    assert rates == [1, 1, 1]


def test_the_critics_rate_is_the_generators_times_the_pace():
    rows, _ = toy()
    condition = trainer.condition_of(tiny(), n_labels=2)
    state = TrainState(*trainer.build(rows.layout, condition, tiny(), seed=0), tiny(pace=4.0))
    state.set_rate(0.5)
    rates = [part.rate for part in (state.generator_optimiser, state.critic_optimiser)]
    assert rates == [0.5, 2.0]


def test_clipping_bounds_the_critic():
    model = fit("cwgan")
    assert max(weight.abs().max().item() for weight in model.critic.parameters()) <= 0.01 + 1e-9
    assert max(weight.abs().max().item() for weight in fit().critic.parameters()) > 0.01


def test_a_budget_of_minutes_ends_the_run_and_says_where(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(trainer.time, "monotonic", lambda: float(next(clock)))
    model = fit(steps=1_000_000, max_minutes=1.0, log_every=5, checkpoint_every=1000)
    assert 5 < model.step < 60
    assert model.history[-1]["step"] == model.step


def test_a_budget_of_minutes_allows_one_step_at_least():
    assert fit(max_minutes=1e-12).step == 1


def test_the_rate_falls_with_the_minutes_where_they_end_the_run(monkeypatch):
    clock, rates = itertools.count(), []
    monkeypatch.setattr(trainer.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(TrainState, "set_rate", lambda self, rate: rates.append(rate))
    fit(steps=1_000_000, max_minutes=1.0, rate=1.0)
    assert rates[0] == 1.0
    assert rates[-1] < 0.2


def test_threads_are_set_and_put_back(monkeypatch):
    inside, before = [], torch.get_num_threads()
    draw = LabelMix.draw
    monkeypatch.setattr(LabelMix, "draw", lambda *a: inside.append(torch.get_num_threads()) or draw(*a))
    try:
        torch.set_num_threads(2)
        fit(threads=1)
        assert set(inside) == {1}
        assert torch.get_num_threads() == 2
        with pytest.raises(Diverged):
            fit(rate=1e30)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_cuda_is_refused_where_there_is_none_and_auto_finds_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device is 'cuda' and torch sees none"):
        fit(device="cuda")
    assert bits(fit(device="auto")) == bits(fit())


def test_labels_that_do_not_fit_are_refused():
    rows, labels = toy()
    for wrong, message in [(labels[:-1], "shape"), (labels.float(), "int64"), (labels + 1, r"\[0, 2\); got 1 to 2")]:
        with pytest.raises(DataError, match=message):
            train(rows, wrong, n_labels=2, config=tiny(), seed=0)


def test_a_run_that_always_diverges_says_at_which_step():
    with pytest.raises(Diverged, match=r"before step 4, last good step 0, at a quarter of the rate 1e\+30"):
        fit(rate=1e30)


def diverging(monkeypatch, *, above, at_step):
    """Make the loss of step ``at_step`` leave the finite numbers while the rate is above a bound."""
    step = trainer._step

    def broken(state, *rest):
        figures = step(state, *rest)
        too_fast = state.critic_optimiser.rate > above
        return figures * torch.nan if too_fast and state.step == at_step else figures

    monkeypatch.setattr(trainer, "_step", broken)


@pytest.mark.parametrize(("above", "halvings"), [(0.6, 1), (0.3, 2)])
def test_divergence_goes_back_to_the_last_good_state_at_half_the_rate(monkeypatch, caplog, above, halvings):
    at_look, states = {}, []
    restore, snapshot = TrainState.restore, TrainState.snapshot

    def content(state):
        return hashlib.sha256(b"".join(name.encode() + t.numpy().tobytes() for name, t in state._tensors())).hexdigest()

    def watched_snapshot(self):
        at_look[self.step] = content(self)
        return snapshot(self)

    def watched_restore(self, found):
        restore(self, found)
        states.append((self.step, content(self) == at_look[self.step]))

    monkeypatch.setattr(TrainState, "snapshot", watched_snapshot)
    monkeypatch.setattr(TrainState, "restore", watched_restore)
    diverging(monkeypatch, above=above, at_step=5)
    model = fit(rate=1.0, pace=1.0, hold=1.0)
    assert states == [(4, True)] * halvings
    assert model.step == 12
    assert [row["step"] for row in model.history] == [4, 8, 12]
    assert [row["rate"] for row in model.history] == [1.0, 0.5**halvings, 0.5**halvings]
    assert caplog.text.count("diverged before step 8: back to step 4") == halvings


def test_a_third_divergence_is_the_end(monkeypatch):
    diverging(monkeypatch, above=0.2, at_step=9)
    with pytest.raises(Diverged, match="before step 12, last good step 8, at a quarter of the rate 1"):
        fit(rate=1.0, pace=1.0, hold=1.0)


def test_a_weight_that_is_not_finite_counts_even_under_a_finite_loss(monkeypatch):
    step = trainer._step

    def broken(state, *rest):
        figures = step(state, *rest)
        with torch.no_grad():
            state.generator.head.bias[0] = torch.inf
        return torch.zeros_like(figures)

    monkeypatch.setattr(trainer, "_step", broken)
    with pytest.raises(Diverged):
        fit()


def test_start_continues_from_the_weights_of_an_earlier_model():
    base = fit()
    near = fit(steps=1, rate=1e-12, start=base, seed=1)
    for name, tensor in near.generator.state_dict().items():
        torch.testing.assert_close(tensor, base.generator.state_dict()[name])
    for name, tensor in near.critic.state_dict().items():
        torch.testing.assert_close(tensor, base.critic.state_dict()[name])
    before = bits(base)
    assert bits(fit(start=base, seed=1)) != bits(fit(seed=1))
    assert bits(base) == before


def test_a_fine_tune_on_one_class_still_knows_the_others():
    base = fit()
    rows, labels = toy()
    of_class = (labels == 1).nonzero().flatten()
    x = rows.batch(of_class)
    codes = torch.stack([part.argmax(1) for part in x[:, 2:].split(LAYOUT.levels, 1)], 1)
    own = TableRows(x[:, :2].contiguous(), codes, LAYOUT)
    tuned = train(own, labels[of_class], n_labels=2, config=tiny(), seed=0, start=base)
    assert tuned.seen == (0, 1)
    alone = train(own, labels[of_class], n_labels=2, config=tiny(), seed=0)
    assert alone.seen == (1,)
    with pytest.raises(ConfigError, match="label 0 had no training rows; this model has 1"):
        alone.sample(0, 5, seed=0)


@pytest.mark.parametrize(
    ("overrides", "field"),
    [({"width": 9}, "width"), ({"layout": TableLayout(2, (3, 2, 5))}, "layout"), ({"name": "wgan-gp"}, "condition")],
)
def test_start_of_another_shape_is_refused_by_name(overrides, field):
    base = fit()
    with pytest.raises(ConfigError, match=f"cannot continue from a model of another {field}"):
        fit(start=base, **overrides)


def test_values_are_frozen():
    model = fit(steps=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.step = 5
