"""Clouds of a moving sensor fit together again; without the recording they are made up and say so."""
import numpy as np
import pytest

from intra_dp_ros.apps.voxels import voxelise
from intra_dp_ros.bench.clouds import LIDAR, SYNTHETIC, open_clouds


@pytest.fixture(params=[LIDAR, SYNTHETIC])
def source(request, tmp_path, monkeypatch):
    if request.param == SYNTHETIC:
        monkeypatch.setenv("INTRA_DP_CACHE", str(tmp_path))
    found = open_clouds()
    if found.kind != request.param:
        pytest.skip("the recording was not fetched")
    return found


def test_clouds_are_one_place_seen_from_several(source):
    clouds = list(source.clouds(2.0, 3.0))
    assert [t for t, _, _ in clouds] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert ("real turn" in source.label) == (source.kind == LIDAR) and str(len(source.points)) in source.label
    for _, cloud, pose in (clouds[0], clouds[-1]):
        assert cloud.dtype == np.float32 and cloud.shape == (len(source.points), 4)
        c, s = np.cos(pose.yaw), np.sin(pose.yaw)
        back = cloud[:, :3] @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + (pose.x, pose.y, pose.z)
        np.testing.assert_allclose(back, source.points, atol=1e-3)
    assert not np.allclose(clouds[0][1], clouds[-1][1])
    assert voxelise(source.points).sum() > 2000
    with pytest.raises(ValueError, match="positive"):
        next(source.clouds(0.0, 1.0))
