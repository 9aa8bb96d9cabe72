"""People in images: decode a model's outputs, draw the result.

numpy and OpenCV only.  Coordinates are pixels of the application's image, x to the right, y down.
"""
from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

import cv2
import numpy as np

from intra_dp_ros.wire.picture import Letterbox

#: The 17 keypoints of COCO in the order of the models' outputs.
KEYPOINTS: Tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)
#: Bones, as pairs of indices into KEYPOINTS.
SKELETON: Tuple[Tuple[int, int], ...] = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13),
    (13, 15), (12, 14), (14, 16),
)
_PERSON_CLASS = 0  # of COCO's 80 classes
_OVERLAP = 0.6  # intersection over union from which two boxes are the same person
_DRAWN_KEYPOINT = 0.2  # keypoints below this score are not drawn
_TALL = 150  # [pixel]: from this height on a person's keypoints are far enough apart for larger dots
_FONT = cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1  # of labels: face, scale, thickness
_OWN_KEYPOINT = 50.0  # [pixel] of KAPAO's input: a keypoint found by itself replaces a person's own within this


@dataclass(frozen=True)
class PersonKeypoint:
    name: str  # one of KEYPOINTS
    x: float  # [pixel]
    y: float  # [pixel]
    score: float  # 0..1


@dataclass(frozen=True)
class PersonDetection:
    score: float  # 0..1
    box: Tuple[float, float, float, float]  # x_min, y_min, x_max, y_max [pixel]
    keypoints: Tuple[PersonKeypoint, ...]  # empty for models that give boxes only


def decode(model_name: str, outputs: Sequence[np.ndarray], fit: Letterbox, threshold: float) -> List[PersonDetection]:
    """The people in a model's outputs, best first.

    Args:
        model_name: key of DECODERS (`LoadedModel.decode`).
        outputs: the model's outputs in its order.
        fit: from `preprocess`.
        threshold: least score of a person, 0..1.

    Raises:
        ValueError: no decoder of this name, or outputs of another shape.
    """
    if model_name not in DECODERS:
        raise ValueError("no people decoder for {!r}; there are: {}".format(model_name, ", ".join(sorted(DECODERS))))
    people = DECODERS[model_name]([np.asarray(out) for out in outputs], fit, float(threshold))
    return _without_doubles(sorted(people, key=lambda person: -person.score))


def _decode_multipose(outputs: Sequence[np.ndarray], fit: Letterbox, threshold: float) -> List[PersonDetection]:
    """`[1, N, 56]`: per person 17 x (y, x, score), then y_min, x_min, y_max, x_max, score; coordinates 0..1."""
    rows = _rows(outputs, 56, "movenet-multipose")
    height, width = fit.model_size
    people = []
    for row in rows[rows[:, 55] >= threshold]:
        points = row[:51].reshape(17, 3)
        xs, ys = fit.to_image(points[:, 1] * width, points[:, 0] * height)
        (x_min, x_max), (y_min, y_max) = fit.to_image(row[[52, 54]] * width, row[[51, 53]] * height)
        keypoints = tuple(PersonKeypoint(name, float(x), float(y), float(score))
                          for name, x, y, score in zip(KEYPOINTS, xs, ys, points[:, 2]))
        people.append(PersonDetection(float(row[55]), (float(x_min), float(y_min), float(x_max), float(y_max)),
                                      keypoints))
    return people


def _decode_centernet(outputs: Sequence[np.ndarray], fit: Letterbox, threshold: float) -> List[PersonDetection]:
    """`[1, N, 6]`: x_min, y_min, x_max, y_max [pixel of the model's input], score, class."""
    rows = _rows(outputs, 6, "centernet")
    people = []
    for row in rows[(rows[:, 4] >= threshold) & (np.round(rows[:, 5]) == _PERSON_CLASS)]:
        (x_min, x_max), (y_min, y_max) = fit.to_image(row[[0, 2]], row[[1, 3]])
        people.append(PersonDetection(float(row[4]), (float(x_min), float(y_min), float(x_max), float(y_max)), ()))
    return people


def _decode_kapao(outputs: Sequence[np.ndarray], fit: Letterbox, threshold: float) -> List[PersonDetection]:
    """Rows `[N, 40]` and which of them count, bool `[N]`: box, score, class, 17 x (x, y) [pixel of the model's input].

    As KAPAO has it (section 3.3 of its paper): a person (class 0) comes with all keypoints, and a keypoint that was
    found by itself (class 1 + its index) replaces the nearest person's when it is close.  Keypoints that nothing
    confirmed carry the person's score.
    """
    if len(outputs) != 2 or outputs[0].ndim != 2 or outputs[0].shape[1] != 40 or outputs[1].shape != \
            outputs[0].shape[:1]:
        raise ValueError("kapao gives outputs [N, 40] and [N], got {}".format([list(out.shape) for out in outputs]))
    rows = outputs[0][outputs[1].astype(bool)].astype(np.float64)
    kinds = np.round(rows[:, 5]).astype(int)
    persons = rows[(kinds == _PERSON_CLASS) & (rows[:, 4] >= threshold)]
    points = persons[:, 6:].reshape(-1, len(KEYPOINTS), 2).copy()
    scores = np.repeat(persons[:, 4:5], len(KEYPOINTS), axis=1)
    confirmed = np.zeros_like(scores)
    for row, kind in zip(rows, kinds):
        if kind == _PERSON_CLASS or not len(persons) or not 1 <= kind <= len(KEYPOINTS):
            continue
        centre = (row[:2] + row[2:4]) / 2.0
        away = np.hypot(*(points[:, kind - 1] - centre).T)
        nearest = int(np.argmin(away))
        if away[nearest] < _OWN_KEYPOINT and row[4] > confirmed[nearest, kind - 1]:
            points[nearest, kind - 1] = centre
            confirmed[nearest, kind - 1] = scores[nearest, kind - 1] = row[4]
    people = []
    for row, own, sure in zip(persons, points, scores):
        (x_min, x_max), (y_min, y_max) = fit.to_image(row[[0, 2]], row[[1, 3]])
        xs, ys = fit.to_image(own[:, 0], own[:, 1])
        people.append(PersonDetection(
            float(row[4]), (float(x_min), float(y_min), float(x_max), float(y_max)),
            tuple(PersonKeypoint(name, float(x), float(y), float(score))
                  for name, x, y, score in zip(KEYPOINTS, xs, ys, sure))))
    return people


def _rows(outputs: Sequence[np.ndarray], columns: int, name: str) -> np.ndarray:
    if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[0] != 1 or outputs[0].shape[2] != columns:
        raise ValueError("{} gives one output [1, N, {}], got {}".format(
            name, columns, [list(out.shape) for out in outputs]))
    return outputs[0][0].astype(np.float64)


def _without_doubles(people: Sequence[PersonDetection]) -> List[PersonDetection]:
    kept: List[PersonDetection] = []
    for person in people:
        if all(overlap(person.box, other.box) < _OVERLAP for other in kept):
            kept.append(person)
    return kept


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


#: Decoder by name.
DECODERS: Dict[str, Callable[[Sequence[np.ndarray], Letterbox, float], List[PersonDetection]]] = {
    "movenet-multipose": _decode_multipose,
    "centernet": _decode_centernet,
    "kapao": _decode_kapao,
}


def draw(rgb: np.ndarray, people: Sequence[PersonDetection], ids: Sequence[int] = ()) -> np.ndarray:
    """A copy of the image (uint8 `[H, W, 3]`) with boxes, skeletons and scores drawn in.

    Args:
        ids: who they are, one number a person: written beside the score, and everybody keeps their colour.
    """
    out = np.array(rgb, order="C")
    for index, person in enumerate(people):
        color = color_of(ids[index] if ids else index)
        x_min, y_min, x_max, y_max = [int(round(v)) for v in person.box]
        cv2.rectangle(out, (x_min, y_min), (x_max, y_max), color, 2)
        label = "{:.2f}".format(person.score) if not ids else "#{} {:.2f}".format(ids[index], person.score)
        (width, height), _ = cv2.getTextSize(label, *_FONT)
        foot = max(height + 4, y_min - 3)  # text of a colour is not legible on any picture, black on the colour is
        cv2.rectangle(out, (x_min - 1, foot - height - 4), (x_min + width + 3, foot + 3), color, -1)
        cv2.putText(out, label, (x_min + 1, foot - 1), *_FONT[:2], (0, 0, 0), _FONT[2], cv2.LINE_AA)
        points = [(int(round(k.x)), int(round(k.y))) if k.score >= _DRAWN_KEYPOINT else None for k in person.keypoints]
        for a, b in SKELETON if points else ():
            if points[a] and points[b]:
                cv2.line(out, points[a], points[b], color, 2, cv2.LINE_AA)
        for point in points:
            if point:
                cv2.circle(out, point, 2 if y_max - y_min >= _TALL else 1, (255, 255, 255), -1, cv2.LINE_AA)
    return out


def color_of(number: int) -> Tuple[int, int, int]:
    """Red, green, blue, 0..255, of a person."""
    return _COLORS[number % len(_COLORS)]


# As many as rarely meet in one picture; all so light that black is legible on them.
_COLORS = ((255, 80, 80), (80, 200, 80), (90, 140, 255), (255, 200, 60), (220, 90, 220), (60, 210, 210),
           (255, 140, 50), (180, 235, 90), (170, 130, 255), (255, 160, 190), (190, 190, 190))
