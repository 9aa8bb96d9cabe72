"""Which tiles the server takes: every row once, of the newest frame, under its present plan."""
from dataclasses import replace

import pytest

from intra_dp_ros.runtime.admission import Admission
from intra_dp_ros.wire.messages import AGAIN, Tile
from intra_dp_ros.wire.tile import TileError, TileSpec

INPUT, INNER = 0, 5


def spec(tensor, rows):
    return TileSpec(tensor, 1, (1, rows, 4), "uint8", 0, rows, "raw")


def tile(frame, epoch, start=0, stop=4, tensor=INPUT):
    return Tile("r", 7, frame, epoch, 0, tensor, 1, start, stop, (1, stop - start, 4), "uint8", "raw", 0, b"")


def again(frame, epoch):
    return replace(tile(frame, epoch, 0, 0, AGAIN), axis=-1, shape=())


@pytest.fixture
def admission():
    made = Admission((INPUT,))
    made.admit(tile(3, 1, 0, 6), spec(INPUT, 10))
    made.admit(tile(3, 1, 0, 2, INNER), spec(INNER, 4))
    return made


def refused(admission, message, words, rows=10):
    with pytest.raises(TileError, match=words):
        admission.check(message, spec(message.tensor, rows))
    with pytest.raises(TileError, match=words):
        admission.admit(message, spec(message.tensor, rows))


def test_older_frames_and_rows_that_came_are_refused(admission):
    refused(admission, tile(2, 1), "frame 2 after frame 3")
    refused(admission, tile(3, 1, 6, 11), "11 rows of the frame have come, expected 10")
    admission.admit(tile(3, 1, 6, 10), spec(INPUT, 10))
    refused(admission, tile(3, 1, 9, 10), "11 rows")
    admission.admit(tile(4, 1, 0, 10), spec(INPUT, 10))
    assert admission.is_newest(4, 1) and not admission.is_newest(3, 1)


def test_a_check_takes_nothing(admission):
    for _ in range(3):
        admission.check(tile(3, 1, 6, 10), spec(INPUT, 10))
        admission.check(tile(9, 1, 0, 10), spec(INPUT, 10))
    assert admission.is_newest(3, 1)


def test_a_frame_goes_on_by_another_plan_only_when_it_is_said(admission):
    refused(admission, tile(3, 2, 6, 8), "plan 2 of frame 3, which runs under plan 1")
    admission.admit(again(3, 2), None)
    assert admission.is_newest(3, 2) and not admission.is_newest(3, 1)
    refused(admission, tile(3, 1, 6, 8), "plan 1 of frame 3, which runs under plan 2")


def test_a_frame_goes_back_to_no_plan(admission):
    refused(admission, again(3, 1), "runs under plan 1")
    admission.admit(again(3, 2), None)
    refused(admission, again(3, 1), "runs under plan 2")
    refused(admission, again(3, 2), "runs under plan 2")
    admission.admit(again(3, 4), None)
    refused(admission, again(3, 2), "runs under plan 4")
    admission.admit(tile(4, 2), spec(INPUT, 10))  # another frame may


def test_inputs_rows_stay_and_others_come_anew(admission):
    admission.admit(again(3, 2), None)
    refused(admission, tile(3, 2, 4, 9), "11 rows")
    admission.admit(tile(3, 2, 6, 8), spec(INPUT, 8))
    refused(admission, tile(3, 2, 8, 9), "9 rows of the frame have come, expected 8", rows=8)
    admission.admit(tile(3, 2, 0, 4, INNER), spec(INNER, 4))
    refused(admission, tile(3, 2, 0, 1, INNER), "5 rows", rows=4)


def test_a_frame_may_begin_by_going_on(admission):
    """The robot thought better of it before the first row was sent."""
    admission.admit(again(4, 2), None)
    admission.admit(tile(4, 2, 0, 10), spec(INPUT, 10))
    refused(admission, tile(4, 1, 0, 10), "runs under plan 2")
