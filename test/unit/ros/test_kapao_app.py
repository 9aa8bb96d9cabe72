"""Colour and depth at the KAPAO application: what is accepted, once, with or without depth, and what is said."""
import pytest
import torch

pytest.importorskip("intra_dp_ros.msg")
import rospy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from intra_dp_ros.apps.loaders.base import InputSpec, LoadedModel  # noqa: E402
from intra_dp_ros.ros import kapao_app  # noqa: E402
from intra_dp_ros.ros.kapao_app import KapaoApp, KapaoParams  # noqa: E402
from intra_dp_ros.ros.people_app import seconds_of  # noqa: E402

MODEL = LoadedModel("none", torch.nn.Identity(), (InputSpec((1, 64, 64, 3), "uint8"),), "random", "", "", 0.2)


class Topic:
    """A subscriber that never hears anything."""

    resolved_name = "/camera/depth/image_raw"
    connections = 1

    def get_num_connections(self):
        return self.connections


class Scene:
    """An application without ROS, and what it accepted and said."""

    def __init__(self, monkeypatch):
        self.now, self.accepted, self.said = 1000.0, [], []
        monkeypatch.setattr(kapao_app.time, "monotonic", lambda: self.now)
        self.app = KapaoApp(MODEL, KapaoParams(0.2, "both", 0.1, "map", 1.2, False, 1.0, 2.0))
        self.app._accept = lambda pair: self.accepted.append(
            (pair[0].header.stamp.to_sec(), pair[1] and pair[1].header.stamp.to_sec()))
        self.app._depth, self.app._complaints = Topic(), self
        self.say = lambda text, level: self.said.append(text)

    def colour(self, stamp, after=0.0):
        self.now += after
        self.app._on_colour(Image(header=Header(stamp=rospy.Time.from_sec(stamp))))

    def depth(self, stamp):
        self.app._on_depth(Image(header=Header(stamp=rospy.Time.from_sec(stamp))))


@pytest.fixture
def scene(monkeypatch):
    return Scene(monkeypatch)


def test_pairs(scene):
    for number in range(3):
        scene.colour(10.0 + number, 1.0)
        scene.depth(10.05 + number)
    assert scene.accepted == [(10.0, 10.05), (11.0, 11.05), (12.0, 12.05)] and scene.said == []


def test_colour_waits_a_second_for_depth_and_goes_on_alone(scene):
    for number in range(8):
        scene.colour(10.0 + 0.25 * number, 0.25)
    assert scene.accepted == [(11.25, None), (11.5, None), (11.75, None)]
    assert len(set(scene.said)) == 1 and "nothing comes on /camera/depth/image_raw" in scene.said[0]


def test_without_a_publisher_nothing_is_waited_for(scene):
    scene.app._depth.connections = 0
    scene.colour(10.0)
    assert scene.accepted == [(10.0, None)] and scene.said == [], "at first it may still be connecting"
    scene.colour(11.5, 1.5)
    assert "nobody publishes" in scene.said[0]


def test_stamps_too_far_apart_are_named(scene):
    for number in range(6):
        scene.depth(20.4 + number)
        scene.colour(20.0 + number, 0.5)
    assert scene.accepted and all(depth is None for _, depth in scene.accepted)
    assert "the stamps on /camera/depth/image_raw are 0.40 s" in scene.said[-1]


def test_late_depth_makes_no_second_answer(scene):
    for number in range(12):
        scene.colour(30.0 + 0.125 * number, 0.125)
    scene.depth(31.25)
    assert scene.accepted == [(31.125, None), (31.25, None), (31.375, None)]
    scene.colour(31.5, 0.125)
    scene.depth(31.5)
    assert scene.accepted[3:] == [(31.5, 31.5)]
    scene.colour(5.0, 0.1)
    scene.depth(5.0)
    assert scene.accepted[-1] == (5.0, 5.0), "a bag that began again"


def test_a_camera_that_starts_again_is_given_time_to_connect(scene):
    scene.colour(40.0)
    scene.depth(40.0)
    scene.colour(40.1, 60.0)
    assert scene.accepted == [(40.0, 40.0)] and scene.said == []
    scene.depth(40.1)
    assert scene.accepted == [(40.0, 40.0), (40.1, 40.1)]
    for number in range(6):
        scene.colour(50.0 + 0.25 * number, 60.0 if number == 0 else 0.25)
    assert scene.accepted[2:] == [(51.25, None)] and "nothing comes on" in scene.said[0]


def test_cameras_slower_than_the_wait_have_their_depth(scene):
    for number in range(4):
        scene.colour(60.0 + 2 * number, 2.0)
        scene.depth(60.0625 + 2 * number)
    assert scene.accepted == [(60.0 + s, 60.0625 + s) for s in (0.0, 2.0, 4.0, 6.0)] and not scene.said


def test_depth_that_comes_seldom_holds_up_no_images(scene):
    for number in range(80):
        scene.colour(70.0 + 0.1 * number, 0.1)
        if number % 20 == 19:
            scene.depth(70.0 + 0.1 * number)
    assert len(scene.accepted) >= 55, "but for a second before the first depth and one behind it"


def test_cameras_that_leave_the_stamp_zero(scene):
    for _ in range(12):
        scene.colour(0.0, 0.125)
    assert scene.accepted == [(0.0, None)] * 3
    for _ in range(4):
        scene.depth(0.0)
        scene.colour(0.0, 0.125)
    assert scene.accepted[3:] == [(0.0, 0.0)] * 3, "the first depth is of an image that did not wait"


def test_without_stamps_what_grows_old_goes_by_this_machines_clock():
    first = seconds_of(rospy.Time())
    assert 0.0 < first <= seconds_of(rospy.Time()) and seconds_of(rospy.Time(5, 500000000)) == 5.5
