"""Seeds by name: the same everywhere, different for different purposes."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.seeding import derive, numpy_rng, torch_rng

PARTS = st.lists(st.integers() | st.text(alphabet="a:\x1f1s\\"), max_size=4)


def test_seeds_are_the_same_on_every_machine_and_in_every_version() -> None:
    assert derive(0) == 3456079177858693020
    assert derive(7, "fit", "fraud", 12) == 3530274722023926763


@given(seed=st.integers(), path=PARTS)
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_a_seed_fits_where_seeds_go(seed: int, path: list[str | int]) -> None:
    assert 0 <= derive(seed, *path) < 2**63
    assert derive(seed, *path) == derive(seed, *path)


@given(one=PARTS, other=PARTS)
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
def test_other_names_are_other_seeds(one: list[str | int], other: list[str | int]) -> None:
    assert (derive(0, *one) == derive(0, *other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), ("1",)),
        (("a", "b"), ("ab",)),
        (("a", "b"), ("a\x1fstr:b",)),
        (("a\x1f", "b"), ("a", "\x1fb")),
        (("a",), ("a", "")),
        ((12,), (1, 2)),
    ],
)
def test_names_that_could_read_alike_do_not(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert derive(0, *one) != derive(0, *other)


def test_numpy_s_numbers_and_texts_are_plain_ones() -> None:
    assert derive(np.int64(3), np.int32(5), np.str_("x")) == derive(3, 5, "x")


def test_any_text_can_be_a_name() -> None:
    assert len({derive(0, text) for text in ("\udc80", "\udc81", "?", "é")}) == 4


def test_no_two_of_many_seeds_collide() -> None:
    seeds = {derive(seed, "fit", label, step) for seed, label, step in itertools.product(range(10), "abcde", range(40))}
    assert len(seeds) == 2_000


def test_generators_follow_their_names() -> None:
    draws = numpy_rng(0, "a").random(3)
    assert np.array_equal(draws, numpy_rng(0, "a").random(3))
    assert not np.array_equal(draws, numpy_rng(0, "b").random(3))
    assert not np.array_equal(draws, numpy_rng(1, "a").random(3))
    assert np.array_equal(draws, np.random.default_rng(derive(0, "a")).random(3))


def test_torch_generators_follow_their_names_and_leave_the_global_one_alone() -> None:
    import torch

    before = torch.random.get_rng_state()
    draws = torch.rand(3, generator=torch_rng(0, "a"))
    assert torch.equal(draws, torch.rand(3, generator=torch_rng(0, "a")))
    assert not torch.equal(draws, torch.rand(3, generator=torch_rng(0, "b")))
    assert torch_rng(2**63 - 1, "a").device.type == "cpu"
    assert torch.equal(before, torch.random.get_rng_state())


def test_seeding_loads_no_torch() -> None:
    code = "import sys; from synthgen.seeding import numpy_rng; numpy_rng(0, 'a'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
