"""Points and cells in perspective."""
import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.apps.voxel_pictures import BACKGROUND  # noqa: E402
from intra_dp_ros.apps.voxel_scenes import height_colours, perspective, two_rows  # noqa: E402

RED, GREEN = np.array([[255, 0, 0]], np.uint8), np.array([[0, 255, 0]], np.uint8)
HERE = np.array([[2.0, 1.0, 0.0]])  # in the middle of every picture


def where(picture, colour):
    """Mean row and column of a colour."""
    rows, columns = np.nonzero((picture == colour[0]).all(2))
    return rows.mean(), columns.mean()


def test_what_is_left_and_up_in_space_is_so_in_the_picture():
    at = {name: where(perspective(HERE + step, RED, 0.1), RED)
          for name, step in (("here", (0, 0, 0)), ("left", (0, 2.0, 0)), ("up", (0, 0, 2.0)), ("ahead", (2.0, 0, 0)))}
    assert at["here"] == pytest.approx((192, 256), abs=1.5)
    assert at["left"][1] < at["here"][1] - 10 and at["up"][0] < at["here"][0] - 10
    assert at["up"][1] == pytest.approx(at["here"][1], abs=1.5)
    assert at["ahead"][0] < at["here"][0] - 5


def test_near_points_hide_far_ones_and_look_larger():
    eye = np.array([-16.0, -13.0, 12.0])
    far = HERE + 0.5 * (HERE - eye)
    colours = np.concatenate([RED, GREEN])
    for points, order in ((np.concatenate([HERE, far]), 1), (np.concatenate([far, HERE]), -1)):
        picture = perspective(points, colours[::order], 0.3)
        assert (picture == RED[0]).all(2).any() and not (picture == GREEN[0]).all(2).any()
    sizes = [(perspective(point, RED, 0.3) == RED[0]).all(2).sum() for point in (HERE, far)]
    assert sizes[0] > sizes[1] > 0


def test_what_is_behind_the_eye_or_nowhere_is_not_drawn():
    empty = np.full((384, 512, 3), BACKGROUND, np.uint8)
    for points in (np.array([[-100.0, -100.0, 60.0]]), HERE + (0.0, 200.0, 0.0), np.empty((0, 3))):
        np.testing.assert_array_equal(perspective(points, RED[:len(points)], 0.1), empty)


def test_heights_run_from_blue_to_red():
    low, middle, high = height_colours(np.array([-5.0, 1.0, 9.0]), 0.0, 2.0).astype(int)
    assert low[2] > low[0] and high[0] > high[2] and middle[1] > 200
    assert height_colours(np.empty(0), 0.0, 2.0).shape == (0, 3)


def test_pictures_over_a_picture():
    scenes = [np.full((40, 60, 3), value, np.uint8) for value in (10, 20)]
    picture = two_rows(scenes, ("a", "b"), np.full((33, 240, 3), 30, np.uint8))
    assert picture.shape[1] == 120 and picture.shape[0] % 2 == 0 and picture.dtype == np.uint8
    assert (picture[60, 30] == 10).all() and (picture[60, 90] == 20).all() and (picture[-1, 60] == 30).all()
