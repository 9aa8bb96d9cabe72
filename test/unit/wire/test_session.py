"""The gate of a session lets its own messages through and counts the rest by reason."""
import dataclasses
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intra_dp_ros.wire.messages import PROTOCOL_VERSION, Ack, Heartbeat, PlanMessage, Tile
from intra_dp_ros.wire.session import Gate, SessionError, check_robot_id, new_nonce
from intra_dp_ros.wire.tile import probe_tile

TILE = Tile("kiwi", 9, 1, 1, 0, 0, 2, 0, 1, (1, 1, 1), "uint8", "raw", 0, b"x")
ACK, BEAT = Ack("kiwi", 9, 1, 0, 100, 0.0), Heartbeat("kiwi", 9)
PLAN = PlanMessage("kiwi", 9, 1, "0" * 64, "{}")
EVERY = [TILE, ACK, BEAT, PLAN]


@pytest.fixture
def gate():
    return Gate("kiwi", 9)


@pytest.mark.parametrize("text", ["a", "Robot_1", "x" * 32])
def test_robot_ids(text):
    assert check_robot_id(text) == text


@pytest.mark.parametrize("text", ["", "1a", "_a", "a-b", "a/b", "a b", "ä", "a\n", "x" * 33, "aé", "a٣", None, 3])
def test_names_that_cannot_be_robot_ids(text):
    with pytest.raises(SessionError, match="letter"):
        check_robot_id(text)


@given(st.text())
def test_robot_ids_are_ascii_words(text):
    try:
        check_robot_id(text)
    except SessionError:
        return
    assert text.isidentifier() and text.isascii() and len(text) <= 32


def test_nonces_differ_and_are_never_none():
    nonces = {new_nonce() for _ in range(1000)}
    assert len(nonces) == 1000 and all(0 < n < 2 ** 64 for n in nonces) and max(nonces) >= 2 ** 60


@pytest.mark.parametrize("message", EVERY)
def test_what_belongs_passes(gate, message):
    gate.check(message)
    assert gate.refused == {} and gate.gaps == 0


def refused(gate, message, reason, *words):
    before = gate.refused.get(reason, 0)
    with pytest.raises(SessionError) as error:
        gate.check(message)
    assert gate.refused.get(reason) == before + 1
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("message", EVERY)
def test_other_robots_and_sessions_are_refused(gate, message):
    refused(gate, dataclasses.replace(message, robot_id="apple"), "robot", "'apple'", "'kiwi'")
    for session in (0, 8, 2 ** 64 - 1):
        refused(gate, dataclasses.replace(message, session=session), "session", str(session), "9")
    assert gate.refused == {"robot": 1, "session": 3}


@pytest.mark.parametrize("message", [TILE, BEAT, dataclasses.replace(probe_tile("kiwi", 0, 10))])
def test_other_versions_are_refused_with_the_remedy(gate, message):
    other = PROTOCOL_VERSION + 1
    refused(gate, dataclasses.replace(message, version=other), "version", "version {}".format(other),
            "version {}".format(PROTOCOL_VERSION), "install the same version of intra_dp_ros on both sides")


def test_tiles_come_in_order_and_gaps_are_counted(gate):
    for sequence in (0, 1, 4, 5, 9):
        gate.check(dataclasses.replace(TILE, sequence=sequence))
    assert gate.gaps == 2 + 3
    for sequence in (9, 8, 0):
        refused(gate, dataclasses.replace(TILE, sequence=sequence), "sequence", str(sequence), "9")
    gate.check(dataclasses.replace(TILE, sequence=10))
    assert gate.refused == {"sequence": 3} and gate.gaps == 5


def test_a_refused_tile_does_not_move_the_sequence(gate):
    refused(gate, dataclasses.replace(TILE, sequence=50, session=3), "session")
    refused(gate, dataclasses.replace(TILE, sequence=60, codec="x" * 5000), "size")
    gate.check(TILE)
    assert gate.gaps == 0


def test_probes_have_no_session_and_numbers_of_their_own(gate):
    gate.check(dataclasses.replace(TILE, sequence=5))
    for sequence in (0, 1, 1000, 0):  # the last one: another sender
        gate.check(probe_tile("kiwi", sequence, 10))
    gate.check(dataclasses.replace(TILE, sequence=6))
    gate.check(Ack("kiwi", 0, 0, 3, 100, 0.0))
    assert gate.refused == {} and gate.gaps == 5
    refused(gate, dataclasses.replace(probe_tile("kiwi", 1, 10), session=9), "session")
    refused(gate, probe_tile("apple", 1, 10), "robot")
    refused(gate, Ack("kiwi", 0, 1, 3, 100, 0.0), "session")


class LongBytes(bytes):
    """Says that it is long without being it."""

    def __len__(self):
        return (256 << 20) + 1


@pytest.mark.parametrize("message, changed, field", [
    (TILE, dict(data=LongBytes()), "data"), (TILE, dict(dtype="x" * 4097), "dtype"),
    (TILE, dict(codec="x" * 4097), "codec"), (TILE, dict(frame_id="ä" * 2049), "frame_id"),
    (ACK, dict(reason="x" * 4097), "reason"), (BEAT, dict(epochs=tuple(range(65))), "epochs"),
    (BEAT, dict(frame_id="x" * 4097), "frame_id"), (PLAN, dict(graph="x" * 4097), "graph"),
    (PLAN, dict(json="x" * ((4 << 20) + 1)), "json"),
])
def test_sizes_are_capped(gate, message, changed, field):
    refused(gate, dataclasses.replace(message, **changed), "size", field, "at most")
    shorter = {name: value[:-1] for name, value in changed.items() if name != "data"}
    gate.check(dataclasses.replace(message, **shorter))


def test_text_that_is_no_unicode_is_measured_all_the_same(gate):
    gate.check(dataclasses.replace(PLAN, json="\udc80"))
    refused(gate, dataclasses.replace(ACK, reason="\udc80" * 1366), "size", "reason")


def test_what_does_not_travel_is_a_type_error(gate):
    with pytest.raises(TypeError, match="str"):
        gate.check("tile")


def test_many_threads_pass_every_number_once(gate):
    passed, lock = [], threading.Lock()

    def work():
        for sequence in range(500):
            try:
                gate.check(dataclasses.replace(TILE, sequence=sequence))
            except SessionError:
                continue
            with lock:
                passed.append(sequence)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(passed) == len(set(passed)) and max(passed) == 499
    assert gate.gaps == 500 - len(passed) and gate.refused["sequence"] == 4 * 500 - len(passed)
