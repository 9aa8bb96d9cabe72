"""Synthetic depth: seen from the camera the floor is flat, and people on it stand upright."""
import numpy as np

from intra_dp_ros.apps.people import PersonDetection
from intra_dp_ros.bench.depth_scene import camera_for, depth_image


def in_the_place(camera, depth, row, column):
    """Ahead of the camera, and above the floor [m], of what is seen in a pixel."""
    _, down = camera.intrinsics.ray(float(column), float(row))
    c, s = np.cos(camera.pitch), np.sin(camera.pitch)
    return depth * (c - s * down), camera.height_m - depth * (s + c * down)


def test_floor_and_boards():
    camera = camera_for(288, 384)
    depth = depth_image(camera, [PersonDetection(0.9, (100.0, 100.0, 140.0, 200.0), ())]) / 1e3
    for column, rows in ((300, range(100, 288)), (120, range(200, 288))):
        heights = [in_the_place(camera, depth[r, column], r, column)[1] for r in rows if depth[r, column]]
        assert len(heights) > 50 and np.abs(heights).max() < 0.15
    feet = in_the_place(camera, camera.floor_depth(200.0), 200, 120)[0]
    body = [in_the_place(camera, depth[r, 120], r, 120) for r in range(100, 200) if depth[r, 120]]
    assert len(body) > 50 and np.abs([ahead / feet - 1.0 for ahead, _ in body]).max() < 0.03
    assert 2.2 < body[0][1] < 2.6 and abs(body[-1][1]) < 0.3, "its head, its feet"
