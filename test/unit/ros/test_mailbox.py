"""The newest frame wins."""
import threading

import pytest

pytest.importorskip("rospy")
from intra_dp_ros.ros.mailbox import Mailbox  # noqa: E402


def test_newest_wins_and_is_taken_once():
    box = Mailbox()
    for number in range(5):
        box.put(number)
    assert box.take() == 4
    assert box.replaced == 4
    box.put(9)
    assert box.take() == 9
    assert box.replaced == 4


def test_close_wakes_the_reader():
    box, taken = Mailbox(), []
    reader = threading.Thread(target=lambda: taken.append(box.take()))
    reader.start()
    box.close()
    reader.join(timeout=5.0)
    assert not reader.is_alive() and taken == [None]
