"""Who is who: steady walkers, crossings, occlusion, slow cameras, bags that begin again."""
import itertools

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intra_dp_ros.apps.people import PersonDetection
from intra_dp_ros.apps.tracking import Tracker, _assign, _overlaps


def person(x, y=300.0, width=40.0, height=120.0, score=0.9):
    return PersonDetection(score, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), ())


def follow(tracker, frames, period=0.1, start=100.0):
    """Track ids of every frame; a frame is a list of people."""
    return [[t.id for t in tracker.update(people, start + i * period)] for i, people in enumerate(frames)]


def test_walkers_keep_their_numbers_and_age():
    tracker = Tracker()
    ids = follow(tracker, [[person(100 + 8 * i), person(500 - 8 * i, 320)] for i in range(20)])
    assert ids == [[1, 2]] * 20
    assert [round(t.age_s, 3) for t in tracker.update([person(260)], 102.0)] == [2.0]


def test_the_order_of_detections_does_not_matter():
    tracker = Tracker()
    frames = [[person(100 + 5 * i), person(500)][::1 if i % 2 else -1] for i in range(10)]
    ids = follow(tracker, frames)
    assert all(pair == (ids[1] if i % 2 else ids[0]) for i, pair in enumerate(ids)) and ids[0] == ids[1][::-1]


def test_two_people_cross():
    """They pass at the same height in the image; the one behind is not seen for a while."""
    tracker, by_side = Tracker(), {}
    for i in range(41):
        left, right = 200 + 10 * i, 600 - 10 * i
        people = {"front": person(left, 310, 44, 130), "behind": person(right, 300)}
        if abs(left - right) < 40:
            del people["behind"]
        tracks = tracker.update(list(people.values()), i * 0.1)
        for name, track in zip(people, tracks):
            by_side.setdefault(name, set()).add(track.id)
    assert by_side == {"front": {1}, "behind": {2}}


def test_occlusion_shorter_and_longer_than_the_patience():
    for hidden_s, known in ((1.5, True), (2.6, False)):
        tracker = Tracker(patience_s=2.0)
        follow(tracker, [[person(100 + 6 * i)] for i in range(10)])
        x = 154 + 60 * hidden_s
        assert [t.id for t in tracker.update([person(x)], 100.9 + hidden_s)] == [1 if known else 2]


def test_people_move_further_than_their_width_between_slow_frames():
    assert follow(Tracker(), [[person(100 + 60 * i), person(900 - 50 * i, 420)] for i in range(6)], 1.0) == [[1, 2]] * 6


def test_far_away_is_somebody_else_and_numbers_are_not_used_twice():
    tracker = Tracker()
    assert follow(tracker, [[person(100)], [person(500)], [], [person(100)], [person(900)]]) == [[1], [2], [], [1], [3]]


def test_a_bag_that_begins_again():
    tracker = Tracker()
    assert follow(tracker, [[person(100)]] * 3, start=500.0) == [[1]] * 3
    assert follow(tracker, [[person(100)]] * 2, start=10.0) == [[2]] * 2
    assert [t.id for t in tracker.update([person(100)], 10.05)] == [2], "two images may come in the wrong order"


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_assignment_has_the_most_pairs_and_then_the_least_cost(data, rows, columns):
    number = st.floats(-1.0, 1.0, width=16)
    size = rows * columns
    cost = np.array(data.draw(st.lists(number, min_size=size, max_size=size))).reshape(rows, columns)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size))).reshape(rows, columns)
    found = _assign(cost, allowed)
    assert all(allowed[pair] for pair in found)
    assert len({r for r, _ in found}) == len({c for _, c in found}) == len(found)
    best = (0, 0.0)
    for count in range(1, min(rows, columns) + 1):
        for some in itertools.combinations(range(rows), count):
            for others in itertools.permutations(range(columns), count):
                pairs = list(zip(some, others))
                if all(allowed[pair] for pair in pairs):
                    best = min(best, (-count, sum(cost[pair] for pair in pairs)))
    assert len(found) == -best[0]
    np.testing.assert_allclose(sum(cost[pair] for pair in found), best[1], atol=1e-9)


def test_overlaps_of_many_are_those_of_pairs():
    from intra_dp_ros.apps.people import overlap
    random = np.random.RandomState(0)
    states = random.rand(7, 4) * 50 + 10
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in states]
    np.testing.assert_allclose(_overlaps(states[:3], states), [[overlap(a, b) for b in boxes] for a in boxes[:3]])
