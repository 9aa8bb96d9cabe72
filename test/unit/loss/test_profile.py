import numpy as np
import pytest
from scipy.optimize import nnls

from intra_dp_ros.loss.profile import Profile, fit, load, save


def test_fit_is_the_non_negative_least_squares_solution():
    random = np.random.RandomState(0)
    for _ in range(200):
        rows = random.choice(np.arange(1, 50), random.randint(2, 6), replace=False)
        times = random.rand() * 3 + random.randn(len(rows)) + random.randn() * 0.1 * rows
        times = np.abs(times)
        profile = fit("g", "cpu", [dict(zip(rows.tolist(), times.tolist()))])
        expected, _ = nnls(np.stack([np.ones(len(rows)), rows], 1), times)
        assert np.allclose([profile.a_ms[0], profile.b_ms[0]], expected, atol=1e-9)


def test_one_row_count_and_none():
    assert fit("g", "cpu", [{4: 2.0}, {}]) == Profile("g", "cpu", (0.0, 0.0), (0.5, 0.0))


def test_saved_and_loaded(tmp_path):
    profile = Profile("ab", "cuda:0", (1.0, 0.25), (0.5, 0.1))
    assert Profile.from_json(profile.to_json()) == profile
    assert load(str(tmp_path), "ab", "cuda:0") is None
    save(str(tmp_path), profile)
    assert load(str(tmp_path), "ab", "cuda:0") == profile
    with pytest.raises(ValueError, match="another"):
        load(str(tmp_path), "ab", "cuda_0")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100000,
                                  '{"graph":"g","device":"d","a_ms":[1],"b_ms":[],"version":1}',
                                  '{"graph":"g","device":"d","a_ms":[-1],"b_ms":[1],"version":1}',
                                  '{"graph":"g","device":"d","a_ms":[],"b_ms":[],"version":0}'])
def test_texts_that_are_no_profile(text):
    with pytest.raises(ValueError):
        Profile.from_json(text)
