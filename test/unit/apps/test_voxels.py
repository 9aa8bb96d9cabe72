"""Points into cells and back; axis order; what AGRNav's planner is told."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.apps.voxel_pictures import COLOURS, before_after, class_colours, top_view
from intra_dp_ros.apps.voxels import (CLASSES, GRID, Grid, cells_of, class_name, occupied_space, planner_coordinates,
                                      points_of, predicted, scan_points, volume, voxelise)

SMALL = Grid((8, 16, 32), 0.25, (-1.0, -2.0, 0.0))


def test_axis_order_and_origin():
    """One cell a point, at [0, 0, x, z, y]; the faces of a cell belong to it below, not above."""
    out = voxelise(np.array([[-10.0, -10.0, -0.1], [-9.95, -9.85, 0.15], [15.55, 15.55, 3.05]]))
    assert out.shape == (1, 1, 256, 32, 256) and out.dtype == np.uint8
    assert np.argwhere(out[0, 0]).tolist() == [[0, 0, 0], [0, 2, 1], [255, 31, 255]]


def test_what_is_not_finite_or_outside_is_left_out():
    points = np.zeros((7, 4), np.float32)
    points[0, 0], points[1, 1], points[2, 2] = np.nan, np.inf, -np.inf
    points[3, 0], points[4, 1], points[5, 2] = -10.01, 15.61, 3.11
    points[6, 3] = np.nan  # not a coordinate
    assert voxelise(points[:6]).sum() == 0 and voxelise(points).sum() == 1
    assert voxelise(np.empty((0, 3), np.float32)).sum() == 0


@given(st.integers(0, 2 ** 31), st.integers(0, 300), st.sampled_from([np.float32, np.float64]))
@settings(deadline=None, max_examples=40)
def test_cells_come_back_from_their_centres(seed, count, dtype):
    random = np.random.RandomState(seed)
    cells = np.unique(np.stack([random.randint(0, n, count) for n in SMALL.cells], 1), axis=0)
    out = voxelise(points_of(cells, SMALL).astype(dtype), SMALL)
    found = cells_of(volume(out, SMALL))
    assert out.sum() == len(cells) == len(found)
    assert sorted(map(tuple, found)) == sorted(map(tuple, cells))
    assert found.tolist() == sorted(found.tolist(), key=lambda c: (c[0], c[2], c[1]))


def test_as_agrnavs_node_does_it():
    """Their steps, on arrays in their order: [256, 32, 256] (x, z, y); columns [0, 2, 1]; new to the cloud's cells."""
    random = np.random.RandomState(5)
    points = random.uniform(-11, 16, (4000, 3))
    indices = np.floor((points - [-10, -10, -0.1]) / 0.1).astype(int)
    indices = indices[np.all((indices >= 0) & (indices < [256, 256, 32]), axis=1)]
    grid = np.zeros((256, 256, 32), np.uint8)
    grid[indices[:, 0], indices[:, 1], indices[:, 2]] = 1
    occupied = np.moveaxis(grid, [0, 1, 2], [0, 2, 1])
    score = np.where(random.rand(256, 32, 256) < 0.001, random.randint(0, 20, (256, 32, 256)), 0).astype(np.uint8)
    score[occupied > 0] = 9
    new = np.logical_and(score > 0, np.logical_not(occupied == 1))
    theirs = np.column_stack(np.nonzero(new))[:, [0, 2, 1]]

    occupancy = voxelise(points)
    assert np.array_equal(occupancy[0, 0], occupied)
    cells, classes = predicted(occupancy, score[None])
    assert np.array_equal(planner_coordinates(cells), theirs.astype(np.float64).ravel())
    assert np.array_equal(classes, score[new])
    corners = theirs * 0.1 + np.array([-10, -10, -0.1])
    np.testing.assert_allclose(points_of(cells, centres=False), corners, atol=1e-5)


def test_statistics():
    occupancy, classes = np.zeros(SMALL.shape, np.uint8), np.zeros(SMALL.shape[1:], np.uint8)
    occupancy[0, 0, 1, 2, 3:6] = 1
    classes[0, 1, 2, 4:9] = 9
    classes[0, 0, 0, 0] = 25
    space = occupied_space(occupancy, classes, SMALL)
    assert (space.seen, space.completed, space.kept, space.added) == (3, 6, 2, 4)
    assert space.classes == {"road": 5, "class 25": 1} and "4 added" in space.sentence
    assert class_name(19) == "traffic-sign" and len(CLASSES) == len(COLOURS)


@pytest.mark.parametrize("call, words", [
    (lambda: voxelise(np.zeros((3, 2))), r"floats \[N, 3 or more\]"),
    (lambda: voxelise(np.zeros((3, 3), int)), "int64"),
    (lambda: voxelise(np.zeros(3)), r"got float64 \[3\]"), (lambda: volume(np.zeros((1, 8, 32, 8))), "expected"),
    (lambda: volume(np.zeros((2, *GRID.shape[2:]), np.uint8)), "expected"), (lambda: Grid((8, 8)), "three"),
    (lambda: Grid(size=0.0), "positive edge"), (lambda: Grid(origin=(0.0, np.nan, 0.0)), "finite")])
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_laser_scan_is_a_plane():
    ranges = [1.0, 2.0, np.inf, np.nan, 0.05, 3.0]
    points = scan_points(ranges, -np.pi / 2, np.pi / 2, 0.1, 10.0)
    np.testing.assert_allclose(points, [[0, -1, 0], [2, 0, 0], [3 * np.cos(2 * np.pi), 3 * np.sin(2 * np.pi), 0]],
                               atol=1e-6)


def test_the_view_from_above():
    classes = np.zeros(SMALL.shape[1:], np.uint8)
    classes[0, 7, 0, 15] = 9  # farthest ahead, farthest left: the top left corner
    classes[0, 7, 31, 15] = 13  # above it
    classes[0, 0, 31, 0] = 19
    view = top_view(classes, SMALL)
    assert view.shape == (8, 16, 3) and view[0, 0].tolist() == COLOURS[13].tolist()
    assert view[7, 15].tolist() == COLOURS[19].tolist() and view[4, 8].tolist() == COLOURS[0].tolist()
    occupancy = (classes[None] > 0).astype(np.uint8)
    assert (top_view(occupancy, SMALL)[0, 0] != COLOURS[0]).any()
    picture = before_after(occupancy, classes, ("seen", "completed"), SMALL)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.shape[1] >= 2 * 384
    assert class_colours(np.array([0, 19, 20, 39])).tolist() == COLOURS[[0, 19, 1, 1]].tolist()
