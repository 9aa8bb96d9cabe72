"""Transforms out of /tf when a bag is played again, when they are a little late, when they are missing."""
import pytest

pytest.importorskip("intra_dp_ros.msg")
import rospy  # noqa: E402
from geometry_msgs.msg import TransformStamped  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from intra_dp_ros.ros import frames as frames_module  # noqa: E402
from intra_dp_ros.ros.frames import Frames, TransformError  # noqa: E402


class Topics:
    """Stands for rospy's subscribers."""

    def __init__(self, monkeypatch):
        self.callbacks = {}
        monkeypatch.setattr(rospy, "Subscriber", self.subscribe)
        monkeypatch.setattr(rospy.Time, "now", lambda: rospy.Time(5000))
        self.warned = []
        monkeypatch.setattr(rospy, "logwarn_throttle", lambda _, text: self.warned.append(text))

    def subscribe(self, name, kind, callback, **_):
        self.callbacks[name] = callback
        return self

    def unregister(self):
        """When the listener goes."""

    def send(self, topic, parent, child, stamp, x):
        transform = TransformStamped(child_frame_id=child)
        transform.header.frame_id, transform.header.stamp = parent, rospy.Time(stamp)
        transform.transform.translation.x, transform.transform.rotation.w = x, 1.0
        message = TFMessage([transform])
        message._connection_header = {"callerid": "player"}
        self.callbacks[topic](message)


def test_a_bag_is_played_again(monkeypatch):
    topics = Topics(monkeypatch)
    frames = Frames()
    topics.send("/tf_static", "base", "lidar", 1000, 0.5)
    for turn in range(3):
        for second in range(30):
            topics.send("/tf", "world", "base", 1000 + second, float(second))
            found = frames.find("/world", "/lidar" if turn else "lidar", rospy.Time(1000 + second))
            assert found.translation[0] == pytest.approx(second + 0.5), "turn {}".format(turn)
    assert len(topics.warned) == 2 and "'base' went back in time by 29 s" in topics.warned[0]


def test_what_is_a_little_late_forgets_nothing(monkeypatch):
    topics = Topics(monkeypatch)
    frames = Frames()
    for stamp in (1000, 1008, 1002, 1009):
        topics.send("/tf", "world", "base", stamp, stamp - 1000.0)
    assert frames.find("world", "base", rospy.Time(1005)).translation[0] == pytest.approx(5.0)
    assert not topics.warned
    with pytest.raises(TransformError, match="no transform from 'base' to 'moon'"):
        frames.find("moon", "base", rospy.Time(1005))


def test_one_missing_frame_does_not_cost_the_others_their_wait(monkeypatch):
    topics = Topics(monkeypatch)
    frames = Frames()
    with pytest.raises(TransformError, match="no transform from 'nowhere' to 'world'"):
        frames.find("world", "nowhere", rospy.Time(1000))
    clock = [0.0]
    monkeypatch.setattr(frames_module.time, "monotonic", lambda: clock[0])

    def sleep(seconds):
        clock[0] += seconds
        if 0.045 < clock[0] < 0.06:
            topics.send("/tf", "world", "base", 1000, 3.0)
    monkeypatch.setattr(frames_module.time, "sleep", sleep)
    assert frames.find("world", "base", rospy.Time(1000)).translation[0] == pytest.approx(3.0)
    waited = clock[0]
    with pytest.raises(TransformError):
        frames.find("world", "nowhere", rospy.Time(1000))
    assert clock[0] - waited < 0.02, "what is missing is not waited for again"
