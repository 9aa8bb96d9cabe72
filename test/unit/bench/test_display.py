"""The hidden screen: its dump as a picture, and what is said where there is none."""
import shutil

import numpy as np
import pytest

from intra_dp_ros.bench import display
from intra_dp_ros.bench.display import Display, DisplayError, from_xwd


def dump(rgb, padding=0, colours=2):
    height, width = rgb.shape[:2]
    header = np.zeros(25, ">u4")
    header[[0, 1, 2, 3, 4, 5, 11, 12, 19]] = 100, 7, 2, 24, width, height, 32, 4 * width + padding, colours
    rows = np.full((height, 4 * width + padding), 99, np.uint8)
    rows[:, :4 * width].reshape(height, width, 4)[..., :3] = rgb[..., ::-1]
    return np.concatenate([header.view(np.uint8), np.zeros(12 * colours, np.uint8), rows.reshape(-1)])


@pytest.mark.parametrize("padding", [0, 8])
def test_a_dump(padding):
    rgb = np.random.RandomState(0).randint(0, 255, (3, 5, 3)).astype(np.uint8)
    assert (from_xwd(dump(rgb, padding)) == rgb).all()


def test_another_kind_of_dump_is_refused():
    data = dump(np.zeros((2, 2, 3), np.uint8))
    data[15] = 16
    with pytest.raises(ValueError, match="24|16"):
        from_xwd(data)


def test_without_xvfb(monkeypatch):
    monkeypatch.setattr(display.shutil, "which", lambda name: None)
    with pytest.raises(DisplayError, match="install the package xvfb"):
        Display((64, 48))


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="there is no Xvfb")
def test_a_real_one_is_black_and_of_its_size():
    screen = Display((64, 48))
    try:
        assert screen.name.startswith(":")
        assert screen.picture().shape == (48, 64, 3)
    finally:
        screen.close()
