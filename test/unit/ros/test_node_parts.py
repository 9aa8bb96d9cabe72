"""Small parts of the inference nodes: complaints, the window of frames, doubles of one image, markers, rotations."""
import dataclasses

import numpy as np
import pytest

pytest.importorskip("intra_dp_ros.msg")
import rospy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from intra_dp_ros.apps.people import KEYPOINTS, PersonDetection  # noqa: E402
from intra_dp_ros.apps.person_point import PersonPoint  # noqa: E402
from intra_dp_ros.apps.tracking import Track  # noqa: E402
from intra_dp_ros.bench.depth_scene import camera_for  # noqa: E402
from intra_dp_ros.ros import camera, complaints, frame_window  # noqa: E402
from intra_dp_ros.ros.frames import rotation_of  # noqa: E402
from intra_dp_ros.ros.people_markers import people_to_markers  # noqa: E402
from intra_dp_ros.runtime.stats import FrameStats  # noqa: E402


@pytest.fixture
def logged(monkeypatch):
    lines = []
    for name in ("logerr", "logwarn"):
        monkeypatch.setattr(rospy, name, lambda form, *values, name=name: lines.append((name, form % values)))
    return lines


def test_a_complaint_is_logged_once_and_counted(logged):
    kept = complaints.Complaints()
    for number in range(50):
        kept.say("an image of {} bytes".format(number))
        kept.say("no transform", 1)
    assert [line[0] for line in logged] == ["logerr", "logwarn"]
    assert kept.counts()["no transform"] == 50 and len(kept.counts()) <= 33
    assert (1, "no transform") in kept.recent() and (2, "an image of 49 bytes") in kept.recent()


def test_complaints_are_forgotten_and_said_again(logged, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(complaints.time, "monotonic", lambda: now[0])
    kept = complaints.Complaints()
    kept.say("no depth")
    now[0] += 11.0
    assert kept.recent() == []
    kept.say("no depth")
    now[0] += 60.0
    kept.say("no depth")
    assert len(logged) == 2 and kept.counts() == {"no depth": 3}


def stats(**changes):
    values = {f.name: {"int": 0, "float": 0.0, "str": ""}.get(getattr(f.type, "__name__", f.type), ())
              for f in dataclasses.fields(FrameStats)}
    return FrameStats(**dict(values, **changes))


def test_frame_window(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(frame_window.time, "monotonic", lambda: now[0])
    window = frame_window.FrameWindow()
    assert window.values() == {"answered": 0}
    for number in range(40):
        now[0] += 0.1
        window.add(0.2, stats(outcome="split", inference_s=0.15, predicted_s=0.1, bytes_up=5000, energy_j=1.0,
                              plan="half"))
    window.add(0.9, stats(outcome="takeover", reason="the server was silent", inference_s=0.15, plan="half"))
    found = window.values()
    assert found["answered"] == 41 and found["plan"] == "half" and found["last fallback"] == "the server was silent"
    assert found["rate [Hz]"] == pytest.approx(29 / 2.8)
    assert found["median latency [ms]"] == pytest.approx(200) and found["worst latency [ms]"] == pytest.approx(900)
    assert found["inference against prediction"] == pytest.approx(1.5)
    assert found["up per frame [kB]"] == pytest.approx(5 * 29 / 30)
    assert found["frames by outcome"] == "29 split, 1 takeover"
    now[0] += 1000.0
    assert window.values()["rate [Hz]"] < 0.05, "a camera that has stopped has no rate"


def test_an_image_that_comes_twice_is_delivered_once(monkeypatch):
    made, delivered = [], []
    monkeypatch.setattr(rospy, "resolve_name", lambda name: "/" + name)
    monkeypatch.setattr(rospy, "Subscriber", lambda name, cls, callback, kind, **_: made.append((
        name, cls, lambda stamp: callback(cls(header=Header(stamp=rospy.Time.from_sec(stamp))), kind))))
    camera.Camera("image", "both").start(delivered.append)
    assert [(name, cls) for name, cls, _ in made] == [("image", Image), ("image/compressed", CompressedImage)]
    raw, jpeg = made[0][2], made[1][2]
    for receive, stamp in ((raw, 9.0), (raw, 9.25), (jpeg, 9.0), (jpeg, 9.25), (jpeg, 9.5), (raw, 9.5), (raw, 1.0),
                           (raw, 1.0), (jpeg, 1.0), (raw, 0.0), (jpeg, 0.0)):
        receive(stamp)
    assert [m.header.stamp.to_sec() for m in delivered] == [9.0, 9.25, 9.5, 1.0, 1.0, 0.0, 0.0]
    del made[:]
    other = camera.Camera("image", "compressed")
    other.start(delivered.append)
    assert other.topic == "/image/compressed" and len(made) == 1
    monkeypatch.setattr(other, "_subscribers", [])
    assert "image/compressed:=/your/camera/topic/compressed with rosrun" in other.waits_for()[1]


def test_markers():
    header, person = Header(frame_id="camera"), PersonDetection(0.9, (0, 0, 1, 1), ())
    spots = [None] * len(KEYPOINTS)
    spots[5], spots[6], spots[7] = (0.1, 0.0, 3.0), (-0.1, 0.0, 3.0), (0.2, 0.3, 3.0)
    markers = people_to_markers([(Track(7, 1.0, person), PersonPoint(0.0, 0.0, 3.0, 9), spots),
                                 (Track(8, 1.0, person), PersonPoint(3.0, 0.0, 4.0, 9), [])], header).markers
    assert markers[0].action == Marker.DELETEALL
    assert [(m.ns, m.id) for m in markers[1:]] == [
        ("person", 7), ("label", 7), ("skeleton", 7), ("person", 8), ("label", 8)]
    assert markers[2].text == "#7 3.0 m" and markers[5].text == "#8 5.0 m"
    assert len(markers[3].points) == 4, "two bones have both ends"
    assert all(m.pose.orientation.w == 1.0 and m.header.frame_id == "camera" for m in markers[1:])


def test_rotation():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_of(0, 0, half, half) @ (1, 0, 0), (0, 1, 0), atol=1e-12)
    np.testing.assert_allclose(rotation_of(0, 0, 3, 3), rotation_of(0, 0, half, half), atol=1e-12)
    seen = camera_for(480, 640)
    turn = rotation_of(*seen.rotation)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    row = 400.0
    depth = float(seen.floor_depth(row))
    right, down = seen.intrinsics.ray(320.0, row)
    point = turn @ (right * depth, down * depth, depth) + (0, 0, seen.height_m)
    assert point[2] == pytest.approx(0.0, abs=1e-9) and point[0] > 0, "the floor is the floor"
