"""Where to stand, and whom to follow."""
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.apps.follow import Target, follow_goal, quaternion_of

coordinates = st.tuples(st.floats(-50, 50), st.floats(-50, 50))


@settings(deadline=None, max_examples=200)
@given(person=coordinates, robot=coordinates, distance=st.floats(0.3, 5.0))
def test_goal(person, robot, distance):
    goal, apart = follow_goal(person, robot, distance), math.dist(person, robot)
    if goal is None:
        assert apart < 1e-5
        return
    left = math.dist(person, (goal.x, goal.y))
    assert left == pytest.approx(min(distance, apart), abs=1e-6), "never nearer, and never backwards"
    if apart > 1e-3 and left > 1e-3:
        assert math.cos(goal.yaw) * (person[0] - goal.x) / left + math.sin(goal.yaw) * (person[1] - goal.y) / left == \
            pytest.approx(1.0, abs=1e-4), "faces the person"


def test_example_and_quaternion():
    goal = follow_goal((1.0, 4.0), (1.0, 1.0), 1.2)
    assert (goal.x, goal.y, goal.yaw) == pytest.approx((1.0, 2.8, math.pi / 2))
    assert quaternion_of(math.pi / 2) == pytest.approx((0, 0, math.sqrt(0.5), math.sqrt(0.5)))


def test_the_nearest_is_followed_until_lost():
    target = Target(patience_s=1.0)
    assert target.choose({}, 0.0) is None
    assert target.choose({4: 3.0, 5: 2.0}, 1.0) == 5
    assert target.choose({4: 0.5, 5: 6.0}, 1.5) == 5, "somebody nearer does not take over"
    assert target.choose({4: 0.5}, 2.0) is None, "out of sight: nobody else yet"
    assert target.choose({4: 0.5, 5: 7.0}, 2.4) == 5
    assert target.choose({4: 0.5}, 9.0, visible=(4, 5)) is None, "in sight, too near for depth: not lost"
    assert target.choose({4: 0.5, 5: 0.6}, 9.5, visible=(4, 5)) == 5
    assert target.choose({4: 0.5, 6: 0.7}, 10.6, visible=(4, 6)) == 4
    assert target.choose({7: 0.5}, 0.5) == 7, "the bag began again"
