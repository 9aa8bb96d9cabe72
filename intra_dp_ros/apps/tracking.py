"""Who is who from image to image: boxes carried on at constant speed, matched by overlap with the fewest regrets.

The scheme of SORT (Bewley et al., "Simple Online and Realtime Tracking", 2016) without its Kalman filter: predicted
boxes and detections are assigned to one another by the Hungarian method on intersection over union; what is left is
tried again by the distance of the centres, because people move by more than their width between slow frames.
"""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from intra_dp_ros.apps.people import PersonDetection

_LEAST_OVERLAP = 0.2  # intersection over union below which two boxes are not matched
_LONGEST_STEP = 0.6  # centres further apart than this many heights of the box are not the same person
_LIKE_SIZE = 1.8  # nor are boxes one of which is this many times as high, where they hardly overlap
_SMOOTH = 0.5  # share of the newest step in the speed
_BACK_S = 0.5  # a stamp this much before the last one: a bag began again


@dataclass(frozen=True)
class Track:
    """One person in one image, and since when they are followed."""

    id: int  # from 1 on, never used twice
    age_s: float  # since they were first seen [s]
    person: PersonDetection


@dataclass
class _Known:
    id: int
    since: float  # stamp of the first image [s]
    stamp: float  # of the image they were last seen in [s]
    state: np.ndarray  # centre x, y, width, height [pixel]
    speed: np.ndarray  # of the state [pixel/s]
    is_new: bool = True  # seen once: no speed yet

    def predicted(self, stamp: float) -> np.ndarray:
        """Where they should be; the size is kept, and nobody walks on for ever unseen."""
        state = self.state.copy()
        state[:2] += self.speed[:2] * (stamp - self.stamp)
        return state

    def see(self, state: np.ndarray, stamp: float) -> None:
        if stamp > self.stamp:
            speed = (state - self.state) / (stamp - self.stamp)
            self.speed = speed if self.is_new else _SMOOTH * speed + (1.0 - _SMOOTH) * self.speed
            self.is_new = False
        self.state, self.stamp = state, stamp


class Tracker:
    """Follows people through the images of one camera.  One thread at a time.

    Args:
        patience_s: how long somebody may be out of sight and still be known afterwards [s].
    """

    def __init__(self, patience_s: float = 2.0) -> None:
        self._patience_s = patience_s
        self._known: List[_Known] = []
        self._next = 1
        self._last = -np.inf

    def update(self, people: Sequence[PersonDetection], stamp: float) -> List[Track]:
        """The people of the next image, in their order, with what is known of them.

        Args:
            stamp: of the image [s]; when it jumps back, nobody is known any more.
        """
        if stamp < self._last - _BACK_S:
            self._known = []
        self._last = stamp
        self._known = [k for k in self._known if stamp - k.stamp <= self._patience_s]
        states = np.array([_state(person.box) for person in people]).reshape(-1, 4)
        tracks: List[Track] = []
        found = dict(self._match(states, stamp))
        for index, person in enumerate(people):
            known = found.get(index)
            if known is None:
                known = _Known(self._next, stamp, stamp, states[index], np.zeros(4))
                self._known.append(known)
                self._next += 1
            else:
                known.see(states[index], stamp)
            tracks.append(Track(known.id, stamp - known.since, person))
        return tracks

    def _match(self, states: np.ndarray, stamp: float) -> List[Tuple[int, _Known]]:
        """(index of a detection, who it is), by overlap first, then by distance."""
        if not len(states) or not self._known:
            return []
        expected = np.array([known.predicted(stamp) for known in self._known])
        overlaps = _overlaps(expected, states)
        pairs = _assign(-overlaps, overlaps >= _LEAST_OVERLAP)
        rows = [r for r in range(len(expected)) if r not in {a for a, _ in pairs}]
        columns = [c for c in range(len(states)) if c not in {b for _, b in pairs}]
        if rows and columns:
            old, new = expected[rows][:, None], states[columns][None]
            height = np.maximum(old[..., 3], new[..., 3])
            steps = np.hypot(old[..., 0] - new[..., 0], old[..., 1] - new[..., 1]) / np.maximum(height, 1e-6)
            alike = height <= _LIKE_SIZE * np.minimum(old[..., 3], new[..., 3])
            pairs += [(rows[r], columns[c]) for r, c in _assign(steps, alike & (steps <= _LONGEST_STEP))]
        return [(column, self._known[row]) for row, column in pairs]


def _assign(cost: np.ndarray, allowed: np.ndarray) -> List[Tuple[int, int]]:
    """The allowed pairs (row, column) of least total cost; a pair that is not allowed costs more than all others."""
    dear = 1.0 + 2.0 * np.abs(cost).max() * (min(cost.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, dear))
    return [(int(r), int(c)) for r, c in zip(rows, columns) if allowed[r, c]]


def _state(box: Sequence[float]) -> Tuple[float, float, float, float]:
    x_min, y_min, x_max, y_max = box
    return (x_min + x_max) / 2.0, (y_min + y_max) / 2.0, x_max - x_min, y_max - y_min


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every state in `a` `[m, 4]` with every one in `b` `[n, 4]`."""
    low = np.maximum((a[:, :2] - a[:, 2:] / 2.0)[:, None], (b[:, :2] - b[:, 2:] / 2.0)[None])
    high = np.minimum((a[:, :2] + a[:, 2:] / 2.0)[:, None], (b[:, :2] + b[:, 2:] / 2.0)[None])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    union = np.prod(a[:, 2:], axis=1)[:, None] + np.prod(b[:, 2:], axis=1)[None] - both
    return both / np.maximum(union, 1e-9)
