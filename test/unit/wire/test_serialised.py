"""The frozen messages are those of msg/ and srv/, field for field and byte for byte (scripts/run makes them)."""
import dataclasses
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.wire import messages

msg = pytest.importorskip("intra_dp_ros.msg", reason="messages are not built: use scripts/run")
srv = pytest.importorskip("intra_dp_ros.srv", reason="messages are not built: use scripts/run")

PAIRS = [
    (messages.Tile, msg.TensorTile), (messages.Ack, msg.TileAck), (messages.Heartbeat, msg.Heartbeat),
    (messages.PlanMessage, msg.PlanInfo), (messages.BandwidthSample, msg.BandwidthEstimate),
    (messages.OpenRequest, srv.OpenSessionRequest), (messages.OpenReply, srv.OpenSessionResponse),
    (messages.BlobRequest, srv.PutBlobRequest), (messages.BlobReply, srv.PutBlobResponse),
]
UINT32 = st.integers(0, 2 ** 32 - 1)
#: ROS type -> its values, as the frozen messages hold them
VALUES = {
    "string": st.text(max_size=9), "bool": st.booleans(), "int8": st.integers(-128, 127),
    "int32": st.integers(-2 ** 31, 2 ** 31 - 1), "uint8": st.integers(0, 255), "uint32": UINT32,
    "uint64": st.integers(0, 2 ** 64 - 1), "float32": st.floats(width=32), "float64": st.floats(),
    "uint8[]": st.binary(max_size=40), "uint32[]": st.lists(UINT32, max_size=6).map(tuple),
    "uint64[]": st.lists(st.integers(0, 2 ** 64 - 1), max_size=4).map(tuple),
    "string[]": st.lists(st.text(max_size=4), max_size=3).map(tuple),
}


def strategy(kind, generated):
    """Frozen messages of a kind with any content."""
    fields = {name: VALUES[ros] for name, ros in zip(generated.__slots__, generated._slot_types) if name != "header"}
    if "header" in generated.__slots__:
        fields.update(stamp=st.tuples(UINT32, UINT32), frame_id=st.text(max_size=9))
    return st.builds(kind, **fields)


def serialise(message, generated):
    built = generated()
    for name in generated.__slots__:
        if name != "header":
            setattr(built, name, getattr(message, name))
    if "header" in generated.__slots__:
        built.header.stamp.secs, built.header.stamp.nsecs = message.stamp
        built.header.frame_id = message.frame_id
    stream = io.BytesIO()
    built.serialize(stream)
    return stream.getvalue()


@pytest.mark.parametrize("kind, generated", PAIRS)
def test_the_fields_are_the_same(kind, generated):
    expected = set(generated.__slots__) - {"header"}
    expected |= {"stamp", "frame_id"} if "header" in generated.__slots__ else set()
    assert {field.name for field in dataclasses.fields(kind)} == expected


@pytest.mark.parametrize("kind, generated", PAIRS[:4])
@given(data=st.data())
@settings(deadline=None)
def test_serialised_bytes_is_the_true_length(kind, generated, data):
    message = data.draw(strategy(kind, generated))
    assert messages.serialised_bytes(message) == len(serialise(message, generated))


@pytest.mark.parametrize("kind, generated", PAIRS)
@given(data=st.data())
@settings(deadline=None)
def test_everything_survives_the_wire(kind, generated, data):
    message = data.draw(strategy(kind, generated))
    wire = serialise(message, generated)
    found = generated().deserialize(wire)
    again = io.BytesIO()
    found.serialize(again)
    assert again.getvalue() == wire
