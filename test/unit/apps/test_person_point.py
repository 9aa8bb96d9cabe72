"""Where people stand: synthetic depth images of a camera whose geometry is known."""
import numpy as np
import pytest

from intra_dp_ros.apps.people import KEYPOINTS, PersonDetection, PersonKeypoint
from intra_dp_ros.apps.person_point import Intrinsics, keypoint_points, person_point

CAMERA = Intrinsics(500.0, 510.0, 320.0, 240.0, 640, 480)
BOX = (280.0, 100.0, 380.0, 400.0)


def pose(score=0.9, box=BOX):
    x_min, y_min, x_max, y_max = box
    at = {"shoulder": 0.25, "hip": 0.55, "nose": 0.1, "ankle": 0.97}
    points = []
    for name in KEYPOINTS:
        side = 0.3 if "left" in name else 0.7
        down = next((v for k, v in at.items() if k in name), 0.4)
        points.append(PersonKeypoint(name, x_min + side * (x_max - x_min), y_min + down * (y_max - y_min), score))
    return PersonDetection(0.9, box, tuple(points))


def scene(z=3.0, wall=7.0):
    depth = np.full((480, 640), wall, np.float32)
    depth[100:400, 280:380] = z
    return depth


def test_the_point_is_on_the_torso():
    point = person_point(scene(), pose(), CAMERA)
    assert point.z == pytest.approx(3.0)
    assert point.x == pytest.approx((330 - 320) / 500 * 3.0, abs=0.02)
    assert point.y == pytest.approx((100 + 0.4 * 300 - 240) / 510 * 3.0, abs=0.02)


def test_boxes_without_keypoints_do_too():
    for person in (PersonDetection(0.9, BOX, ()), pose(score=0.05)):
        assert person_point(scene(), person, CAMERA).z == pytest.approx(3.0)


@pytest.mark.parametrize("hole", [np.nan, 0.0, np.inf, -np.inf])
def test_holes_are_ignored(hole):
    depth, random = scene(), np.random.RandomState(0)
    depth[random.rand(*depth.shape) < 0.7] = hole
    assert person_point(depth, pose(), CAMERA).z == pytest.approx(3.0)
    assert person_point(np.full((480, 640), hole, np.float32), pose(), CAMERA) is None


def test_background_and_an_arm_before_the_body_do_not_move_the_median():
    depth, random = scene(), np.random.RandomState(1)
    depth[random.rand(*depth.shape) < 0.3] = 7.0
    depth[random.rand(*depth.shape) < 0.1] = 0.4
    depth += random.normal(0, 0.02, depth.shape).astype(np.float32)
    assert person_point(depth, pose(), CAMERA).z == pytest.approx(3.0, abs=0.03)


def test_of_a_body_and_a_wall_in_equal_parts_the_nearer_is_the_body():
    depth = scene(3.0, 3.0)
    depth[:, ::2] = 9.0
    point = person_point(depth, PersonDetection(0.9, BOX, ()), CAMERA)
    assert point.z in (pytest.approx(3.0), pytest.approx(9.0)) and point.z == pytest.approx(3.0)


def test_people_at_the_edge_and_outside():
    assert person_point(scene(), pose(box=(-30.0, -20.0, 60.0, 150.0)), CAMERA).z == pytest.approx(7.0)
    assert person_point(scene(), pose(box=(700.0, 500.0, 800.0, 700.0)), CAMERA) is None


def test_keypoints_in_space():
    depth, person = scene(), pose()
    depth[385:, :] = np.nan  # no feet
    near = person_point(depth, person, CAMERA)
    points = dict(zip(KEYPOINTS, keypoint_points(depth, person, CAMERA, near)))
    assert points["left_ankle"] is None
    x, y, z = points["left_shoulder"]
    k = person.keypoints[KEYPOINTS.index("left_shoulder")]
    assert (x / z * 500 + 320, y / z * 510 + 240, z) == pytest.approx((k.x, k.y, 3.0))
    assert keypoint_points(depth, pose(score=0.1), CAMERA, near) == [None] * 17
