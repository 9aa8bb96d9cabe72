"""What the package promises of a node that runs for long, checked on a record of a run; timings are never judged."""
import math
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.soak_record import NOT_CHECKED, NOT_SAID, Frame, SoakRecord
from intra_dp_ros.runtime.exactness import TOLERANCE

#: A message travels to the node within this time, and cannot replace another one before.
ON_ITS_WAY_S = 0.1
#: How much the memory of a node may grow from the second to the last third of a run, by the medians: less than by an
#: image that is forgotten every two seconds in a run of a minute, more than by pages that are touched late.
FLAT = 0.02


@dataclass(frozen=True)
class Promise:
    """One promise, and whether it was kept."""

    name: str
    broken: str  # in words; empty: it was kept
    figures: str  # what was found, either way


class Growth(NamedTuple):
    """Memory of a node: medians of the second and of the last third of a run [MB]."""

    second: float
    last: float

    @property
    def share(self) -> float:
        """By how much it grew, relative; infinite where nothing was measured."""
        return (self.last - self.second) / self.second if self.second > 0 else float("inf")


def judge(record: SoakRecord) -> List[Promise]:
    """All promises."""
    return [check(record) for check in (
        _answered, _stamps, _order, _replaced, _newest, _last, _exact, _decoded, _alive, _flat)]


def _answered(record: SoakRecord) -> Promise:
    """The node numbers the frames it takes: no number may be missing, and each has one result."""
    numbers, first = [f.number for f in record.frames], record.first_number
    wrong = [(found, expected) for expected, found in enumerate(numbers, first) if found != expected]
    results, frames = Counter(r.stamp for r in record.results), Counter(f.stamp for f in record.frames)
    differ = sum((results - frames).values()) + sum((frames - results).values())
    broken = []
    if not numbers:
        broken.append("no frame was answered")
    if wrong:
        broken.append("frame {} came where {} was expected".format(*wrong[0]))
    if differ:
        broken.append("{} results and {} statistics differ in {} stamps".format(
            len(record.results), len(record.frames), differ))
    return Promise("every accepted frame answered", "; ".join(broken), "{} frames accepted, {} results".format(
        len(numbers), len(record.results)))


def _stamps(record: SoakRecord) -> Promise:
    known = {s.stamp for s in record.sent}
    strange = [m.stamp for m in (*record.results, *record.frames) if m.stamp not in known]
    frame_ids = [r.frame_id for r in record.results if r.frame_id != record.result_frame_id] + [
        f.frame_id for f in record.frames if f.frame_id != record.frame_id]
    broken = []
    if strange:
        broken.append("{} stamps that no sensor message had, the first {}".format(len(strange), strange[0]))
    if frame_ids:
        broken.append("{} other frame_ids, the first {!r}".format(len(frame_ids), frame_ids[0]))
    return Promise("stamps and frame_ids kept", "; ".join(broken), "{} stamps, frame_id {}".format(
        len(record.results), record.result_frame_id))


def _order(record: SoakRecord) -> Promise:
    stamps = [r.stamp for r in record.results]
    doubled = [stamp for stamp, count in Counter(stamps).items() if count > 1]
    back = sum(b < a for a, b in zip(stamps, stamps[1:]))
    broken = []
    if doubled:
        broken.append("{} stamps came more than once".format(len(doubled)))
    if back:
        broken.append("{} results came after one of a newer message".format(back))
    return Promise("results in the order of the sensor, each once", "; ".join(broken),
                   "{} doubled, {} out of order".format(len(doubled), back))


def _replaced(record: SoakRecord) -> Promise:
    """What was not answered made way for newer messages, and the node counted it."""
    missing = unanswered(record)
    newest = max((r.stamp for r in record.results), default=0)
    lost = [stamp for stamp in missing if stamp > newest]
    broken = []
    if lost:
        broken.append("{} messages were neither answered nor replaced by newer ones".format(len(lost)))
    if record.counted == NOT_SAID:
        broken.append("the node did not say how many it counts")
    elif len(missing) != record.counted:
        broken.append("{} messages were not answered, but the node counts {} that newer ones replaced{}".format(
            len(missing), record.counted, "".join("; it said {} times: {}".format(n, line)
                                                  for line, n in record.refused.items())))
    return Promise("frames not answered were replaced by newer ones", "; ".join(broken),
                   "{} of {} replaced, the node counts {}".format(len(missing), len(record.sent), record.counted))


def _newest(record: SoakRecord) -> Promise:
    found, allowed = ages(record), most_age(record.rate_hz)
    old, most = [age for age in found if age > allowed], max(found, default=0)
    return Promise("the newest frame wins", "{} frames were taken when more than {} newer messages had been published, "
                   "one with {}".format(len(old), allowed, most) if old else "",
                   "when a frame was taken, at most {} newer had been published".format(most))


def _last(record: SoakRecord) -> Promise:
    last = record.sent[-1].stamp if record.sent else 0
    is_there = any(r.stamp == last for r in record.results)
    return Promise("nothing lost at the end", "" if is_there else "the last message was not answered",
                   "the last message was {}answered".format("" if is_there else "not "))


def _exact(record: SoakRecord) -> Promise:
    checked = [f for f in record.frames if f.rel_error != NOT_CHECKED]
    wrong = [f for f in checked if not f.rel_error <= TOLERANCE]  # also where it is not a number
    broken = ""
    if wrong:
        broken = "frame {} ({}) differs by {:.1e}".format(wrong[0].number, wrong[0].outcome, wrong[0].rel_error)
    elif not checked:
        broken = "no frame was compared with the unsplit model"
    return Promise("results within {:.0e} of the unsplit model's".format(TOLERANCE), broken,
                   "{} frames compared, largest relative error {:.1e}".format(
                       len(checked), max((f.rel_error for f in checked), default=float("nan"))))


def _decoded(record: SoakRecord) -> Promise:
    wrong = [c for c in record.compared if c.difference]
    broken = ""
    if wrong:
        broken = "{} of {} results differ, the first: {}".format(
            len(wrong), len(record.compared), wrong[0].difference)
    elif not record.compared:
        broken = "no result was compared"
    ties = sum(c.ties for c in record.compared)
    return Promise("the same {} as the unsplit model".format(record.things), broken,
                   "{} results with {} {} compared{}".format(
                       len(record.compared), sum(c.things for c in record.compared), record.things,
                       "; {} decided differently, whose scores are the same but for rounding".format(ties)
                       if ties else ""))


def _alive(record: SoakRecord) -> Promise:
    return Promise("nodes alive", "; ".join(record.gone), "the same processes at the end" if not record.gone else
                   "; ".join(record.gone))


def _flat(record: SoakRecord) -> Promise:
    found = growth(record)
    broken = ["the {}'s memory grew by {:.1f} MB, {:.1%}".format(name, g.last - g.second, g.share) if g.second
              else "the {}'s memory was not seen all the time".format(name)
              for name, g in found.items() if not g.share < FLAT]
    return Promise("memory flat (less than {:.0%} more)".format(FLAT), "; ".join(broken), ", ".join(
        "{} {:.0f} MB, {:+.1f} MB ({:+.2%})".format(name, g.last, g.last - g.second, g.share)
        for name, g in found.items()))


def unanswered(record: SoakRecord) -> List[int]:
    """Stamps of the messages without a result."""
    answered = {r.stamp for r in record.results}
    return [s.stamp for s in record.sent if s.stamp not in answered]


def most_age(rate_hz: float) -> int:
    """How many messages may have been published after the one that a free node takes: those still on their way."""
    return max(1, math.ceil(ON_ITS_WAY_S * rate_hz))


def ages(record: SoakRecord) -> List[int]:
    """For every answered frame, how many messages had been published after it when the node took it.

    A node takes a message when it has arrived and the frame before is done, its comparison with the unsplit model
    included.  Arrival is when the result came, less the latency that the node tells.  The ways of result and statistics
    make these moments later than they were, never earlier.
    """
    number = {s.stamp: i for i, s in enumerate(record.sent)}
    times = [s.time_s for s in record.sent]
    came = {r.stamp: r.time_s for r in record.results}
    found, free = [], -math.inf
    for frame in record.frames:
        if frame.stamp in number and frame.stamp in came:
            taken = max(came[frame.stamp] - frame.latency_s, free)
            found.append(int(np.searchsorted(times, taken, side="right")) - 1 - number[frame.stamp])
        free = frame.time_s
    return found


def begins(record: SoakRecord) -> List[Tuple[Frame, float]]:
    """Every answered frame and when its inference began [s]."""
    came = {r.stamp: r.time_s for r in record.results}
    return [(f, came[f.stamp] - f.publish_s - f.inference_s) for f in record.frames if f.stamp in came]


def growth(record: SoakRecord) -> Dict[str, Growth]:
    """Memory of robot and server over the time in which the sensor sent."""
    kept = [m for m in record.memory if m.time_s <= record.seconds]
    return {"robot": _growth([m.robot_MB for m in kept]), "server": _growth([m.server_MB for m in kept])}


def _growth(values: Sequence[float]) -> Growth:
    third = len(values) // 3
    if not third or min(values) <= 0:
        return Growth(0.0, 0.0)
    return Growth(float(np.median(values[third:2 * third])), float(np.median(values[2 * third:])))


def broken(record: SoakRecord) -> Optional[str]:
    """All broken promises in words, None where all were kept."""
    found = ["{}: {}".format(p.name, p.broken) for p in judge(record) if p.broken]
    return "; ".join(found) or None
