"""Point clouds as voxels and back, and the scans of a real laser scanner."""
import gzip
import struct

import numpy as np
import pytest

from intra_dp_ros.apps import velodyne
from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.voxels import GRID, Grid, from_above, new_indices, points_of, statistics, voxelise

SMALL = Grid((4, 5, 3), (-1.0, 0.0, 0.0), 0.5)


def test_points_fall_into_their_voxels():
    points = np.array([[-1.0, 0.0, 0.0, 7.0], [0.99, 2.49, 1.49, 7.0], [-0.4, 1.1, 0.6, 7.0]])
    found = voxelise(points, SMALL)
    assert found.shape == (1, 1, 4, 3, 5) and found.dtype == np.uint8
    assert sorted(map(tuple, np.argwhere(found[0, 0]))) == [(0, 0, 0), (1, 1, 2), (3, 2, 4)]  # x, z, y


def test_points_elsewhere_are_left_out():
    outside = np.array([[1.0, 0, 0], [-1.01, 0, 0], [0, 2.5, 0], [0, 0, 1.5], [np.nan, 0, 0], [0, np.inf, 0],
                        [0, 0, -1e30]])
    assert not voxelise(outside, SMALL).any()
    assert not voxelise(np.zeros((0, 3)), SMALL).any()
    with pytest.raises(ValueError, match=r"\(3,\)"):
        voxelise(np.zeros(3))


def test_voxels_come_back_as_points():
    points = np.random.RandomState(0).uniform((-10, -10, -0.1), (15.6, 15.6, 3.1), (500, 3))
    classes = voxelise(points) * np.uint8(3)
    found = points_of(classes)
    assert (found[:, 3] == 3).all() and found.dtype == np.float32
    assert (voxelise(found) == voxelise(points)).all()


def test_new_voxels_in_the_planners_order():
    before = np.zeros(SMALL.shape, np.uint8)
    classes = before.copy()
    before[0, 0, 1, 1, 2] = 1
    classes[0, 0, 1, 1, 2] = 4  # was there before
    classes[0, 0, 3, 2, 4] = 5
    classes[0, 0, 0, 1, 2] = 6
    assert new_indices(classes[0], before, SMALL).tolist() == [[0, 2, 1], [3, 4, 2]]  # x, y, z
    assert statistics(classes, before) == {"occupied_before": 1, "occupied_after": 3, "new": 2,
                                           "occupied_share": 3 / 60}
    above = from_above(classes, SMALL)
    assert above.shape == (4, 5) and (above[1, 2], above[3, 4], above[0, 2], above[0, 0]) == (2, 3, 2, 0)


def block(azimuth, metres):
    returns = struct.pack("<HB", int(metres / 0.002), 9) * 32
    return b"\xff\xee" + struct.pack("<H", azimuth) + returns


def test_revolutions_of_a_log(tmp_path):
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"head" + block(0, 2.0) + block(9000, 4.0) + b"\xff\xee" + block(35000, 0.1)
                                   + block(100, 3.0) + b"\xff\xee"))
    first, second = velodyne.scans(str(path))
    assert first.shape == (64, 4) and second.shape == (32, 4) and (first[:, 3] == 9).all()
    assert np.linalg.norm(first[:32, :3], axis=1) == pytest.approx(np.full(32, 2.0), abs=1e-3)
    assert (first[:32, 0] > 1.9).all()  # ahead
    assert (first[32:, 1] < -3.8).all()  # 90 degrees clockwise: to the right
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(ValueError, match="no VLP-16"):
        velodyne.scans(str(tmp_path / "empty.gz"))


def test_a_real_scan():
    path = asset_path("test_velodyne_VLP16.rawlog")
    if path is None:
        pytest.skip("the laser scan is not in the cache: scripts/fetch_assets")
    points = np.concatenate(velodyne.scans(path))
    assert len(points) == 22591 and np.isfinite(points).all()
    assert 5000 < voxelise(points + np.array([0, 0, 0.6, 0])).sum() < 8000
    assert GRID.shape == (1, 1, 256, 32, 256)
