import pytest
from hypothesis import given
from hypothesis import strategies as st

from intra_dp_ros.loss.link_model import LinkModel


def test_defaults_send_raw_bytes():
    assert LinkModel(1e6, 2e6).codecs["raw"] == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("wrong", [{"up": -1.0}, {"rtt_s": float("nan")}, {"duplex": "both"},
                                   {"codecs": {"x": (1.0, 0.0)}}, {"tile_bytes": 0.0},
                                   {"encoded_bytes": -1.0}])
def test_impossible_links_are_refused(wrong):
    with pytest.raises(ValueError, match="link: "):
        LinkModel(**{"up": 1.0, "down": 1.0, **wrong})


@given(st.integers(1, 9), *[st.sampled_from([0.0, 0.3, 1.0, 2.5])] * 3, st.floats(0.0, 20.0), st.floats(0.0, 20.0))
def test_a_passage_is_its_tiles_one_after_the_other(count, encode, air, decode, air_free, decoder_free):
    """Equal tiles through encoder, air and decoder, each of which takes one at a time."""
    encoded, crossed, decoded, arrivals = 0.0, air_free, decoder_free, []
    for _ in range(count):
        encoded += encode
        crossed = max(encoded, crossed) + air
        decoded = max(crossed, decoded) + decode
        arrivals.append(crossed)
    piece = LinkModel(1.0, 1.0, tile_bytes=1.0).passage((air, encode, decode), float(count))
    begun = max(piece.first_s(0.0), air_free)
    first, last = piece.crossed_s(begun, encode * count, lambda at, nbytes: at + nbytes)
    assert (first, last) == (pytest.approx(arrivals[0]), pytest.approx(arrivals[-1]))
    assert piece.decoded_s(first, last, decoder_free) == pytest.approx(decoded)


def test_pieces_that_encode_to_little_are_fewer_tiles():
    link = LinkModel(1.0, 1.0, per_message_s=2.0, tile_bytes=64.0, encoded_bytes=4.0)
    raw = 6400.0
    for ratio, count in ((1.0, 100), (0.1, 100), (0.02, 32), (1 / 64, 25), (0.0, 25)):
        piece = link.passage((ratio, 0.0, 0.0), raw)
        assert (1.0 / piece.tile, piece.encode_s, piece.decode_s) == pytest.approx((count, count, count))
