"""Letterbox, decoders and drawing."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.apps import people  # noqa: E402  (needs cv2)
from intra_dp_ros.wire import picture  # noqa: E402

sizes = st.tuples(st.integers(8, 900), st.integers(8, 900))


@settings(deadline=None, max_examples=200)
@given(image=sizes, model=sizes, part=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_letterbox_round_trip(image, model, part):
    fit = picture.letterbox(image, model)
    x, y = part[0] * image[1], part[1] * image[0]
    model_x, model_y = fit.to_model(x, y)
    assert -1e-6 <= model_x <= model[1] + 1e-6 and -1e-6 <= model_y <= model[0] + 1e-6
    assert np.allclose(fit.to_image(model_x, model_y), (x, y), atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(image=sizes, model=sizes)
def test_preprocess_fills_one_axis_and_centres_the_other(image, model):
    out, fit = picture.preprocess(np.full(image + (3,), 200, np.uint8), model)
    assert out.shape == (1,) + model + (3,) and out.dtype == np.uint8 and out.flags.c_contiguous
    lit = out[0, :, :, 0] > 0
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    assert len(rows) == model[0] or len(columns) == model[1]
    assert rows[0] == fit.top and columns[0] == fit.left
    assert abs(rows[0] - (model[0] - 1 - rows[-1])) <= 1 and abs(columns[0] - (model[1] - 1 - columns[-1])) <= 1


def test_preprocess_keeps_an_image_of_the_right_size():
    rgb = np.random.RandomState(0).randint(0, 256, (64, 96, 3)).astype(np.uint8)
    out, fit = picture.preprocess(rgb, (64, 96))
    assert np.array_equal(out[0], rgb) and (fit.left, fit.top, fit.scale_x, fit.scale_y) == (0, 0, 1.0, 1.0)
    with pytest.raises(TypeError, match="uint8 RGB"):
        picture.preprocess(rgb[..., 0], (64, 96))
    with pytest.raises(ValueError, match="positive"):
        picture.letterbox((0, 4), (4, 4))


def multipose(*rows):
    out = np.zeros((1, 6, 56), np.float32)
    for i, (score, box, point) in enumerate(rows):
        out[0, i, :51] = np.tile(point, 17)
        out[0, i, 51:55], out[0, i, 55] = box, score
    return out


def test_multipose_rows_become_people_in_image_pixels():
    fit = picture.letterbox((200, 400), (400, 400))  # 100 black rows above and below
    box = (0.25, 0.1, 0.75, 0.3)  # y_min, x_min, y_max, x_max
    out = multipose((0.5, (0.5, 0.6, 0.6, 0.7), (0.5, 0.5, 0.1)), (0.9, box, (0.5, 0.2, 0.8)), (0.1, box, (0, 0, 0)))
    found = people.decode("movenet-multipose", [out], fit, 0.3)
    assert [round(p.score, 2) for p in found] == [0.9, 0.5]
    assert found[0].box == pytest.approx((40.0, 0.0, 120.0, 200.0), abs=1e-3)
    assert [k.name for k in found[0].keypoints] == list(people.KEYPOINTS)
    nose = found[0].keypoints[0]
    assert (nose.x, nose.y, nose.score) == pytest.approx((80.0, 100.0, 0.8), abs=1e-3)


def test_centernet_keeps_persons_only_and_one_of_two_equal_boxes():
    fit = picture.letterbox((512, 512), (512, 512))
    rows = [[10, 20, 50, 90, 0.8, 0], [11, 20, 50, 90, 0.7, 0], [10, 20, 50, 90, 0.9, 2], [200, 20, 250, 90, 0.3, 0]]
    found = people.decode("centernet", [np.array([rows], np.float32)], fit, 0.25)
    assert [p.box for p in found] == [(10, 20, 50, 90), (200, 20, 250, 90)]
    assert all(p.keypoints == () for p in found)


def test_wrong_outputs_and_names_are_refused():
    fit = picture.letterbox((8, 8), (8, 8))
    with pytest.raises(ValueError, match=r"\[1, N, 56\]"):
        people.decode("movenet-multipose", [np.zeros((1, 6, 55))], fit, 0.3)
    with pytest.raises(ValueError, match="centernet, kapao, movenet-multipose"):
        people.decode("yolo", [np.zeros((1, 6, 56))], fit, 0.3)
    with pytest.raises(ValueError, match=r"\[N, 40\]"):
        people.decode("kapao", [np.zeros((1, 6, 56))], fit, 0.3)


def kapao_row(box, score, kind, points=0.0):
    return [*box, score, kind, *np.broadcast_to(points, (17, 2)).ravel()]


def test_kapao_persons_take_the_keypoints_that_were_found_by_themselves():
    fit = picture.letterbox((320, 480), (640, 960))
    rows = np.array([
        kapao_row((100, 100, 200, 400), 0.9, 0, (150, 200)),
        kapao_row((600, 100, 700, 400), 0.5, 0, (650, 200)),
        kapao_row((150, 210, 170, 230), 0.7, 1),  # a nose 22 pixels from the first person's
        kapao_row((150, 210, 190, 230), 0.3, 1),  # a worse one
        kapao_row((300, 210, 320, 230), 0.8, 2),  # a left eye near nobody's
        kapao_row((100, 100, 200, 400), 0.99, 0, (150, 200))], np.float32)  # not valid
    found = people.decode("kapao", [rows, np.array([1, 1, 1, 1, 1, 0], bool)], fit, 0.4)
    assert [round(p.score, 3) for p in found] == [0.9, 0.5]
    assert found[0].box == pytest.approx((50, 50, 100, 200))
    nose, eye = found[0].keypoints[:2]
    assert nose.name == "nose" and (nose.x, nose.y, nose.score) == pytest.approx((80, 110, 0.7))
    assert (eye.x, eye.y, eye.score) == (pytest.approx(75), pytest.approx(100), pytest.approx(0.9))
    assert found[1].keypoints[0].x == pytest.approx(325)
    assert people.decode("kapao", [rows, np.zeros(6, bool)], fit, 0.4) == []


def test_draw_marks_people_and_leaves_the_image_alone():
    rgb = np.zeros((100, 100, 3), np.uint8)
    fit = picture.letterbox((100, 100), (100, 100))
    found = people.decode("movenet-multipose", [multipose((0.9, (0.2, 0.2, 0.8, 0.8), (0.5, 0.5, 0.9)))], fit, 0.3)
    out = people.draw(rgb, found)
    assert not rgb.any() and out[20, 50].any() and out[50, 50].any() and out.shape == rgb.shape
    assert np.array_equal(people.draw(rgb, []), rgb)
    assert not np.array_equal(people.draw(rgb, found, [3]), out), "the number and its colour"


def test_overlap():
    assert people.overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert people.overlap((0, 0, 1, 1), (1, 0, 2, 1)) == 0.0
