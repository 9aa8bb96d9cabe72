"""Raw data blocks of a VLP-16, made here and, where it was fetched, the real recording."""
import gzip
import struct

import numpy as np
import pytest

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.velodyne import scans
from intra_dp_ros.apps.voxels import voxelise


def block(azimuth, distances):
    """A block whose 32 lasers see these counts of 2 mm."""
    return (b"\xff\xee" + struct.pack("<H", azimuth)
            + b"".join(struct.pack("<HB", d, 7) for d in np.broadcast_to(distances, 32).tolist()))


def write(tmp_path, data, packed=False):
    path = tmp_path / "blocks"
    path.write_bytes(gzip.compress(data) if packed else data)
    return str(path)


@pytest.mark.parametrize("packed", [False, True])
def test_geometry(tmp_path, packed):
    """The second laser looks up by 1 degree; azimuth turns clockwise seen from above."""
    one = np.zeros(32, int)
    one[1] = 5000
    found, = scans(write(tmp_path, b"words" + block(0, one) + b"between" + block(9000, one), packed))
    assert found.dtype == np.float32 and found.shape == (2, 4)
    flat, up = 10 * np.cos(np.radians(1)), 10 * np.sin(np.radians(1))
    np.testing.assert_allclose(found, [[flat, 0, up, 7], [0, -flat, up, 7]], atol=0.12)


def test_the_sensor_turns_within_a_block(tmp_path):
    found, = scans(write(tmp_path, block(0, 5000) + block(40, 5000)))
    angle = -np.degrees(np.arctan2(found[:, 1], found[:, 0])).reshape(4, 16)
    np.testing.assert_allclose(angle[:, 0], [0.0, 0.2, 0.4, 0.6], atol=1e-4)
    assert np.all(np.diff(angle[0]) > 0)


def test_turns_are_scans(tmp_path):
    azimuths = [int(a) % 36000 for a in np.arange(300, 300 + 3.7 * 36000, 90)]
    found = scans(write(tmp_path, b"".join(block(a, 1000) for a in azimuths)))
    assert [len(s) // 32 for s in found] == [400, 400, 400, 280]
    assert len(scans(write(tmp_path, b"".join(block(a, 1000) for a in azimuths[:1000])))) == 2


def test_flags_inside_blocks_and_cut_blocks(tmp_path):
    tricky = block(100, 0xeeff)  # every distance reads FF EE
    assert sum(map(len, scans(write(tmp_path, tricky + block(140, 1000) + block(180, 1000)[:60])))) == 64
    with pytest.raises(ValueError, match="no data blocks"):
        scans(write(tmp_path, b"\xff\xee" + bytes(20)))
    with pytest.raises(OSError):
        scans(write(tmp_path, gzip.compress(bytes(5000))[:-9]))
    with pytest.raises(OSError):
        scans(str(tmp_path / "nowhere"))


@pytest.mark.skipif(asset_path("test_velodyne_VLP16.rawlog") is None, reason="the recording was not fetched")
def test_the_real_recording():
    found, = scans(asset_path("test_velodyne_VLP16.rawlog"))
    assert found.shape == (22591, 4) and np.isfinite(found).all()
    assert 1.0 < np.linalg.norm(found[:, :3], axis=1).min() and found[:, 3].max() <= 255
    assert voxelise(found).sum() > 3000
