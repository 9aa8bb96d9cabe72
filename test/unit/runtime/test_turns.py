"""Turns on the processor: the frame that is due first, whatever order they came in, and none waits for ever."""
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.runtime.turns import Turns

WAIT_S = 10.0


def wait_until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def start(turns, deadline, done, steps=1, is_wanted=lambda: True):
    """A frame of so many operators on a thread; `done` gets its deadline at every operator."""
    turn = turns.turn(deadline, is_wanted)

    def work():
        if not turn.take():
            return done.append(None)
        try:
            for _ in range(steps):
                done.append(deadline)
                if turn.should_pass:
                    turn.release()
                    if not turn.take():
                        return done.append(None)
        finally:
            turn.release()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True))
def test_the_earliest_deadline_is_first(deadlines):
    turns, done = Turns(), []
    holder = turns.turn(-1.0)
    assert holder.take()
    threads = [start(turns, d, done) for d in deadlines]
    wait_until(lambda: len(turns._waiting) == len(deadlines))
    assert done == [] and not holder.should_pass
    holder.release()
    for thread in threads:
        thread.join(WAIT_S)
    assert done == sorted(deadlines)


def test_a_long_frame_lets_one_pass_that_is_due_sooner():
    turns, done = Turns(), []
    long = turns.turn(10.0)
    assert long.take() and not long.should_pass
    short = start(turns, 5.0, done, steps=3)
    wait_until(lambda: long.should_pass)
    long.release()
    assert long.take()  # comes back when the other one is through
    assert done == [5.0] * 3
    later = start(turns, 20.0, done)
    wait_until(lambda: len(turns._waiting) == 1)
    assert not long.should_pass
    long.release()
    short.join(WAIT_S)
    later.join(WAIT_S)
    assert done == [5.0] * 3 + [20.0]


def test_a_frame_that_is_not_wanted_any_more_leaves_the_queue():
    turns, done, wanted = Turns(), [], [True]
    holder = turns.turn(0.0)
    assert holder.take()
    thread = start(turns, 1.0, done, is_wanted=lambda: wanted[0])
    wait_until(lambda: turns.is_awaited(2.0))
    wanted[0] = False
    thread.join(WAIT_S)
    assert done == [None] and not turns.is_awaited(2.0)
    holder.release()
    holder.release()  # once is enough
    assert turns.turn(3.0).take()


def test_as_many_compute_as_there_are_slots():
    turns, running, most, lock = Turns(2), [0], [0], threading.Lock()

    def work(deadline):
        turn = turns.turn(deadline)
        for _ in range(20):
            assert turn.take()
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.0005)
            with lock:
                running[0] -= 1
            turn.release()
    threads = [threading.Thread(target=work, args=(float(i),), daemon=True) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert most[0] == 2
    with pytest.raises(ValueError, match="at least one"):
        Turns(0)
