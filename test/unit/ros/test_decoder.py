"""A user's decoder: what it must say, and what happens when it fails."""
import os
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("intra_dp_ros.msg")
from std_msgs.msg import Header, String  # noqa: E402

from intra_dp_ros.ros.decoder import Decoder, DecoderError  # noqa: E402
from intra_dp_ros.ros.image_app import best_classes, is_scores, tensor_to_msg  # noqa: E402

EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs", "examples")
MINE = '''
from typing import Optional
from std_msgs.msg import String, Header
def fails(outputs, image, header) -> String:
    return String(str(1 / 0))
def lies(outputs, image, header) -> "String":
    return Header()
def silent(outputs, image, header) -> Optional[String]:
    return None
def shy(outputs, image, header):
    return None
def wrong(outputs, image, header) -> int:
    return 1
def unknown(outputs, image, header) -> "Strnig":
    return None
number = 3
'''


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoders")
    (folder / "my_decoders.py").write_text(MINE)
    (folder / "broken_decoders.py").write_text("import no_such_thing\n")
    sys.path[:0] = [str(folder), EXAMPLES]
    yield
    del sys.path[:2]


def test_the_example_of_the_documentation():
    decode = Decoder("best_class:decode")
    assert decode.type is String
    scores, image = np.zeros((1, 10), np.float32), np.zeros((4, 6, 3), np.uint8)
    assert decode([scores], image, Header()) is None
    scores[0, 7] = 5.0
    assert decode([scores], image, Header()).data.startswith("class 7 in the 6x4 image")


@pytest.mark.parametrize("name, words", [
    ("no_colon", "PACKAGE.FILE:FUNCTION"), ("nowhere.at_all:decode", "PYTHONPATH"),
    ("my_decoders:nothing", "PYTHONPATH"),
    ("broken_decoders:decode", "no_such_thing"), ("my_decoders:number", "expected a function"),
    ("my_decoders:shy", "annotate its result"), ("my_decoders:wrong", "annotate its result"),
    ("my_decoders:unknown", "Strnig")])
def test_what_is_no_decoder(name, words):
    with pytest.raises(DecoderError, match=words):
        Decoder(name)


def test_a_decoder_that_fails_is_named():
    with pytest.raises(DecoderError, match="my_decoders:fails failed: ZeroDivisionError"):
        Decoder("my_decoders:fails")([], None, Header())
    with pytest.raises(DecoderError, match="gave a Header, its annotation says String"):
        Decoder("my_decoders:lies")([], None, Header())
    assert Decoder("my_decoders:silent").type is String and Decoder("my_decoders:silent")([], None, None) is None


def test_classes_and_tensors():
    scores = torch.tensor([[0.5, 3.0, -1.0, 2.0]])
    found = best_classes(scores, ("a", "b", "c", "d"), 3)
    assert (found["ids"], found["labels"], found["scores"]) == ([1, 3, 0], ["b", "d", "a"], [3.0, 2.0, 0.5])
    assert found["probabilities"] == pytest.approx(scores.softmax(1)[0, [1, 3, 0]].tolist())
    assert best_classes(scores, ("a",), 9)["labels"] == []
    assert is_scores([scores]) and not is_scores([scores, scores]) and not is_scores([scores.long()])
    assert not is_scores([scores[0]])
    message = tensor_to_msg(scores.to(torch.float16)[:, ::2])
    assert (message.dtype, message.shape) == ("float16", [1, 2])
    assert np.frombuffer(message.data, "float16").tolist() == [0.5, -1.0]
