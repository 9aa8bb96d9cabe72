import pytest

from intra_dp_ros.loss.link_model import LinkModel


def test_defaults_send_raw_bytes():
    assert LinkModel(1e6, 2e6).codecs["raw"] == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("wrong", [{"up": -1.0}, {"rtt_s": float("nan")}, {"duplex": "both"},
                                   {"codecs": {"x": (1.0, 0.0)}}])
def test_impossible_links_are_refused(wrong):
    with pytest.raises(ValueError, match="link: "):
        LinkModel(**{"up": 1.0, "down": 1.0, **wrong})
