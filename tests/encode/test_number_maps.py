"""Numbers to normal scores and back: what the randomised quantile transform and the standard score promise."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_1samp, ks_2samp, norm

from synthgen.encode.columns import Cells, NumberColumn, fit_numbers
from synthgen.encode.quantile import MAX_NODES, MAX_SCORE, QuantileMap


def fit(values: np.ndarray | pa.Array, *, numeric: str = "quantile") -> NumberColumn:
    column = pa.chunked_array([pa.array(values)])
    fitted = fit_numbers(column, numeric=numeric, min_rows=5, nullable=True)
    assert isinstance(fitted, NumberColumn)
    return fitted


def scores_of(fitted: NumberColumn, values: np.ndarray | pa.Array, seed: int = 0) -> np.ndarray:
    score = fitted.encode(pa.chunked_array([pa.array(values)]), np.random.default_rng(seed)).score
    assert score is not None
    return score


def drawn(fitted: NumberColumn, n: int = 20_000, seed: int = 1) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    return fitted.decode(Cells(scores)).to_numpy(zero_copy_only=False)


def back(fitted: NumberColumn, values: np.ndarray | pa.Array, seed: int = 0) -> pa.Array:
    return fitted.decode(Cells(scores_of(fitted, values, seed)))


def several(elements: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(elements, min_size=11, max_size=60, unique=True).flatmap(
        lambda values: st.lists(st.sampled_from(values), max_size=60).map(lambda more: [*values, *more])
    )


@given(several(st.floats(allow_nan=False, allow_infinity=False)))
@settings(max_examples=60, deadline=None)
def test_any_finite_floats_come_back_bit_for_bit(values: list[float]) -> None:
    array = np.array(values) + 0.0  # one zero: -0.0 and 0.0 are one value
    assert np.array_equal(back(fit(array), array), array)


@given(several(st.integers(-(2**63), 2**63 - 1)))
@settings(max_examples=60, deadline=None)
def test_any_int64_come_back_exactly(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    assert np.array_equal(back(fit(array), array), array)


@given(several(st.integers(0, 2**64 - 1)))
@settings(max_examples=60, deadline=None)
def test_any_uint64_come_back_exactly(values: list[int]) -> None:
    array = np.array(values, dtype=np.uint64)
    assert np.array_equal(back(fit(array), array), array)


@given(several(st.integers(2**60, 2**60 + 500)), st.sampled_from(["quantile", "standard"]))
@settings(max_examples=40, deadline=None)
def test_integers_beyond_a_double_are_never_rounded_and_never_leave_the_range(values: list[int], numeric: str) -> None:
    array = np.array(values, dtype=np.int64)
    fitted = fit(array, numeric=numeric)
    assert np.array_equal(back(fitted, array), array)
    got = drawn(fitted, 500)
    assert got.dtype == np.int64
    assert got.min() >= array.min()
    assert got.max() <= array.max()


@given(several(st.floats(allow_nan=False, allow_infinity=False)), st.sampled_from(["quantile", "standard"]))
@settings(max_examples=60, deadline=None)
def test_nothing_leaves_the_range_and_the_order_is_kept(values: list[float], numeric: str) -> None:
    fitted = fit(np.array(values), numeric=numeric)
    scores = np.linspace(-8, 8, 301).astype(np.float32)
    got = fitted.decode(Cells(scores)).to_numpy()
    assert got.min() >= min(values)
    assert got.max() <= max(values)
    if numeric == "quantile":
        assert np.all(np.diff(got / 2) >= 0)
        assert got[0] == min(values)
        assert got[-1] == max(values)


MARGINALS = {
    "normal": lambda rng: rng.normal(size=3_000),
    "skewed": lambda rng: np.exp(2 * rng.normal(size=3_000)),
    "spiked": lambda rng: np.where(rng.random(3_000) < 0.4, 0.0, rng.gamma(2, size=3_000)),
    "capped": lambda rng: np.minimum(rng.gamma(2, size=3_000), 3.0),
    "prices": lambda rng: np.round(rng.gamma(2, 20, size=3_000), 2),
    "counts": lambda rng: rng.poisson(20, size=3_000),
    "sparse integers": lambda rng: rng.integers(0, 10**12, size=3_000),
    "thinned": lambda rng: np.where(rng.random(60_000) < 0.2, 1.5, rng.standard_t(2, size=60_000)),
    "thinned integers": lambda rng: np.where(rng.random(60_000) < 0.1, 7, rng.geometric(1e-4, size=60_000)),
}


@pytest.mark.parametrize("name", MARGINALS)
def test_normal_scores_decode_to_the_fitted_distribution(name: str) -> None:
    values = MARGINALS[name](np.random.default_rng(5))
    got = drawn(fit(values), 30_000)
    assert ks_2samp(got, values, method="asymp").statistic < 0.03
    for spike in (0.0, 3.0, 1.5, 7):  # exact share at an atom, not only near it
        assert np.mean(got == spike) == pytest.approx(np.mean(values == spike), abs=0.012)


@pytest.mark.parametrize("name", MARGINALS)
def test_fitted_values_encode_to_normal_scores(name: str) -> None:
    values = MARGINALS[name](np.random.default_rng(6))
    scores = scores_of(fit(values), values)
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= MAX_SCORE
    assert ks_1samp(scores, norm.cdf, method="asymp").statistic < 0.02


def test_ties_are_spread_by_the_seed_and_single_values_are_not() -> None:
    values = np.append(np.zeros(50), np.linspace(1, 2, 50))
    fitted = fit(values)
    one, same, other = (scores_of(fitted, values, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert len(set(one[:50].tolist())) > 40
    assert not np.array_equal(one[:50], other[:50])
    assert np.array_equal(one[50:], other[50:])
    assert one[:50].max() < norm.ppf(0.5) + 1e-6 < one[50:].min()
    assert one[50] == pytest.approx(norm.ppf(0.505), abs=1e-6)  # the middle of its own step


class FixedDraws(np.random.Generator):
    """A generator whose every uniform draw is the same."""

    def __init__(self, draw: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.draw = draw

    def random(self, size: int) -> np.ndarray:  # type: ignore[override]
        return np.full(size, self.draw)


@pytest.mark.parametrize("draw", [0.0, np.nextafter(1.0, 0.0)])
def test_ties_come_back_from_the_very_edge_of_their_share(draw: float) -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=2_000), 3)
    fitted = fit(values)
    column = pa.chunked_array([pa.array(values)])
    assert np.array_equal(fitted.decode(fitted.encode(column, FixedDraws(draw))).to_numpy(), values)


def test_whole_numbers_between_two_ties_share_the_gap_evenly() -> None:
    low, high, values = np.array([0.0, 0.7]), np.array([0.3, 1.0]), np.array([0, 4], dtype=np.uint64)
    between = QuantileMap(low, high, values, np.array([True, True]))
    u = np.random.default_rng(0).random(60_000)
    got = between.backward(norm.ppf(u))
    assert np.bincount(got.astype(int)) / len(u) == pytest.approx([0.3, 0.4 / 3, 0.4 / 3, 0.4 / 3, 0.3], abs=0.01)
    scores = between.forward(got, np.random.default_rng(1))
    assert np.array_equal(between.backward(scores), got)
    assert ks_1samp(scores, norm.cdf, method="asymp").statistic < 0.02


def test_neighbouring_single_values_are_interpolated() -> None:
    values = np.cumsum(np.random.default_rng(0).exponential(size=200)) * np.pi
    got = drawn(fit(values), 2_000)
    assert np.isin(got, values).mean() < 0.02
    assert len(np.unique(got)) > 1_900


@pytest.mark.parametrize("power", [-30, -12, -3, 3, 6, 12, 30])
def test_a_column_scaled_by_a_power_of_ten_has_the_same_scores(power: int) -> None:
    rng = np.random.default_rng(3)
    values = np.where(rng.random(2_000) < 0.2, 0.25, np.round(rng.normal(size=2_000), 3))
    scaled = values * 10.0**power
    assert np.array_equal(scores_of(fit(values), values), scores_of(fit(scaled), scaled))
    fresh, other = rng.normal(size=(2, 2_000))
    ours, theirs = scores_of(fit(fresh), other), scores_of(fit(fresh * 10.0**power), other * 10.0**power)
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_values_that_were_not_fitted_lie_between_their_neighbours() -> None:
    fitted = fit(np.arange(0.0, 100.0) ** 1.5)
    values = np.array([-5.0, 0.0, 50.3, 51.0, 5_000.0])
    scores = scores_of(fitted, values)
    assert np.all(np.diff(scores) >= 0)
    assert scores[1] < scores[2] < scores[3]
    assert back(fitted, values).to_numpy()[1:4] == pytest.approx(values[1:4], rel=1e-5)


def test_integers_stay_on_the_integers_and_on_their_step() -> None:
    rng = np.random.default_rng(0)
    assert drawn(fit(rng.integers(-1000, 1000, size=300))).dtype == np.int64
    hundreds = rng.integers(0, 10**6, size=500) * 100
    got = drawn(fit(hundreds))
    assert np.all(got % 100 == 0)
    assert len(np.setdiff1d(got, hundreds)) > 100


def test_integers_between_fitted_ones_share_the_gap_evenly() -> None:
    values = np.concatenate([np.zeros(20), np.full(20, 12), np.arange(20, 30)]).astype(np.int64)
    fitted = fit(np.tile(values, 2))
    share = np.bincount(drawn(fitted, 50_000), minlength=30) / 50_000
    assert share[0] == pytest.approx(0.4, abs=0.01)
    assert share[12] == pytest.approx(0.4, abs=0.01)
    assert share[1:12].max() == 0.0  # tied values leave no u to what lies between them
    assert share[20:].min() > 0.015


@pytest.mark.parametrize("decimals", [-2, 0, 1, 2, 5])
def test_floats_of_d_decimals_keep_d_decimals(decimals: int) -> None:
    values = np.round(np.random.default_rng(1).normal(0, 1000, size=800), decimals)
    for power in (0, 9, -20):
        places = decimals + power
        scaled = np.round(values * 10.0**-power, places)
        got = drawn(fit(scaled), 3_000)
        assert np.array_equal(got, np.round(got, places))
        assert len(np.setdiff1d(got, scaled)) > 50 or decimals == -2


def test_quarters_stay_quarters() -> None:
    values = np.random.default_rng(1).integers(0, 4_000, size=500) / 4
    assert np.all(drawn(fit(values)) % 0.25 == 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_floats_decode_to_values_of_their_own_type(dtype: type) -> None:
    values = np.random.default_rng(2).normal(size=400).astype(dtype)
    fitted = fit(values)
    assert back(fitted, values).to_numpy(zero_copy_only=False).tobytes() == values.tobytes()
    got = drawn(fitted, 2_000)
    assert got.dtype == dtype
    assert got.min() >= values.min()
    assert got.max() <= values.max()
    tenths = (np.arange(300) / 10).astype(dtype)
    assert np.isin(drawn(fit(tenths[::2])), tenths).all()


def test_a_large_column_keeps_its_spikes_in_a_bounded_number_of_nodes() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=80_000)
    for at, spike in enumerate((-1.25, 0.0, 0.5)):
        values[at * 160 : (at + 1) * 160] = spike
    fitted = fit(values)
    arrays = fitted.map.arrays()
    assert max(map(len, arrays.values())) <= MAX_NODES
    got = drawn(fitted, 200_000)
    for spike in (-1.25, 0.0, 0.5):
        assert np.mean(got == spike) == pytest.approx(0.002, abs=0.0005)
    assert got.std() == pytest.approx(values.std(), rel=0.01)
    assert back(fitted, values).to_numpy() == pytest.approx(values, abs=1e-4)
    assert np.array_equal(back(fitted, values)[:480], values[:480])


def test_moments_stay_on_the_midnights_and_in_their_zone() -> None:
    day = 86_400_000_000_000
    values = np.random.default_rng(4).integers(15_000, 19_000, size=500) * day
    column = pa.array(values).view(pa.timestamp("ns", "Europe/Paris"))
    got = fit(column).decode(Cells(np.random.default_rng(0).normal(size=2_000).astype(np.float32)))
    assert got.type == column.type
    assert np.all(got.view(pa.int64()).to_numpy() % day == 0)


def test_standard_scores_have_mean_zero_and_unit_spread() -> None:
    values = np.random.default_rng(0).gamma(2, 30, size=5_000) + 1e6
    fitted = fit(values, numeric="standard")
    scores = scores_of(fitted, values)
    assert scores.mean() == pytest.approx(0, abs=1e-4)
    assert scores.std() == pytest.approx(1, abs=1e-4)
    assert scores == pytest.approx((values - values.mean()) / values.std(), abs=1e-4)
    assert back(fitted, values).to_numpy() == pytest.approx(values, abs=1e-3)
    halfway = (scores[:-1] + scores[1:]) / 2
    assert fitted.decode(Cells(halfway)).to_numpy() == pytest.approx((values[:-1] + values[1:]) / 2, abs=1e-3)


def test_standard_scores_bear_any_scale() -> None:
    rng = np.random.default_rng(0)
    for unit in (1e-320, 1e-300, 1e-6, 1e6, 1e300):
        values = rng.integers(-40, 40, size=400) * 1.0 * unit
        fitted = fit(values, numeric="standard")
        assert np.isfinite(scores_of(fitted, values)).all()
        assert np.array_equal(back(fitted, values), values)
    mixed = np.append(rng.normal(size=400), [1e308, -1e308])
    scores = scores_of(fit(mixed, numeric="standard"), mixed)
    assert np.isfinite(scores).all()
    assert scores[:400].std() == pytest.approx(1, abs=0.3)  # two huge values do not flatten the rest


def test_standard_scores_keep_spikes_and_grids() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(9_000) < 0.3, 0.0, rng.gamma(2, size=9_000))
    fitted = fit(values, numeric="standard")
    zero = values == 0
    assert np.all(back(fitted, values).to_numpy()[zero] == 0.0)
    cents = np.round(values * 100) / 100
    got = drawn(fit(cents, numeric="standard"))
    assert np.array_equal(got, np.round(got, 2))
    assert got.min() >= cents.min()
    assert got.max() <= cents.max()


@pytest.mark.parametrize("numeric", ["quantile", "standard"])
def test_a_single_value_too_rare_to_be_a_level(numeric: str) -> None:
    fitted = fit(np.full(4, 2.5), numeric=numeric)
    assert np.array_equal(back(fitted, np.full(4, 2.5)), np.full(4, 2.5))
    assert set(drawn(fitted, 50).tolist()) == {2.5}


def test_dwarfed_columns_do_not_become_infinite() -> None:
    values = np.append(np.linspace(0, 1e-310, 40), 1e300)
    assert np.isfinite(scores_of(fit(values, numeric="standard"), values)).all()
