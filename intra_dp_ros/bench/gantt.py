"""One inference as a chart: what the robot, the link and the server did at the same time."""
from typing import Iterable, List, Sequence, Tuple

from intra_dp_ros.bench.plots import INK, PART_COLOURS, figure, save, title
from intra_dp_ros.bench.record import INTRA_DP, LANES, DemoRecord, Span

_NAMES = {"robot": "robot compute", "uplink": "uplink", "server": "server compute", "downlink": "downlink"}
_COLOURS = {"robot": PART_COLOURS["robot_compute"], "uplink": PART_COLOURS["uplink_wait"],
            "server": PART_COLOURS["server_compute"], "downlink": PART_COLOURS["downlink"]}
_MANY = 40  # spans in a lane from which their edges would hide them
_CHARACTER = 0.0095  # width of a label's character over the width of the chart


def merged(spans: Iterable[Span]) -> List[Tuple[float, float]]:
    """Times [ms] in which at least one of the spans is busy, rising and apart."""
    out: List[Tuple[float, float]] = []
    for start, stop in sorted((s.start_ms, s.stop_ms) for s in spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out


def overlap_ms(spans: Sequence[Span]) -> float:
    """Time [ms] in which something is computed (on either side) while something travels (either way)."""
    computing = merged(s for s in spans if s.lane in ("robot", "server"))
    travelling = merged(s for s in spans if s.lane in ("uplink", "downlink"))
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in computing for b in travelling)


def end_ms(spans: Iterable[Span]) -> float:
    """When the last span stops [ms]; 0 without spans."""
    return max((s.stop_ms for s in spans), default=0.0)


def gantt(record: DemoRecord, path: str) -> None:
    """Write the chart: measured above, predicted below, one time axis."""
    charts([(_title(record), record.measured_spans, record.predicted_spans)], path)


def charts(inferences: Sequence[Tuple[str, Sequence[Span], Sequence[Span]]], path: str) -> None:
    """A PNG with several inferences, one below the other.

    Args:
        inferences: of each its title, measured and predicted spans.
    """
    heights = [max(1, bool(measured) + bool(predicted)) for _, measured, predicted in inferences]
    fig = figure(9.6, 1.3 * len(heights) + 1.75 * sum(heights))
    panels = iter(fig.subplots(sum(heights), 1, squeeze=False)[:, 0])
    for words, measured, predicted in inferences:
        rows = [(name, spans) for name, spans in (("measured", measured), ("predicted", predicted)) if spans]
        limit = max(end_ms(measured), end_ms(predicted), 1.0) * 1.02
        axes = [next(panels) for _ in rows or (None,)]
        for axis, (name, spans) in zip(axes, rows):
            _lanes(axis, name, spans, limit)
        for axis in axes:
            axis.set_xlim(0.0, limit)
            axis.tick_params(axis="x", labelbottom=axis is axes[-1])
        if not rows:
            axes[0].text(0.5, 0.5, "no inference was traced", ha="center", va="center", transform=axes[0].transAxes)
        title(axes[0], words)
        axes[-1].set_xlabel("time since the inference began [ms]")
    save(fig, path)


def _title(record: DemoRecord) -> str:
    if not record.measured_spans:
        return "No inference was traced"
    text = "One inference (intra_dp, frame {}): {:.0f} ms".format(record.gantt_frame, end_ms(record.measured_spans))
    if record.predicted_spans:
        text += ", predicted {:.0f} ms".format(end_ms(record.predicted_spans))
    text += ";\n" + _corrected(record)
    return text + "computing and transmitting overlap for {:.0f} ms of it".format(overlap_ms(record.measured_spans))


def _corrected(record: DemoRecord) -> str:
    """What the scheduler made of the prediction after earlier frames, where that is another number."""
    found = [s.predicted_ms for s in record.samples if s.strategy == INTRA_DP and s.frame == record.gantt_frame]
    summed = end_ms(record.predicted_spans)
    is_other = found and summed > 0.0 and found[0] > 0.0 and abs(found[0] / summed - 1.0) > 0.02
    return "corrected by earlier frames to {:.0f} ms; ".format(found[0]) if is_other else ""


def _lanes(axis, name: str, spans: Sequence[Span], limit: float) -> None:
    predicted = name == "predicted"
    for row, lane in enumerate(LANES):
        own = [s for s in spans if s.lane == lane]
        # Hatched: a plan, not something that happened.  White edges keep chunks that follow at once apart.
        axis.broken_barh([(s.start_ms, s.stop_ms - s.start_ms) for s in own], (row - 0.36, 0.72),
                         facecolors=_COLOURS[lane], edgecolors="white", linewidth=0.6 if len(own) < _MANY else 0.1,
                         alpha=0.6 if predicted else 1.0, hatch="///" if predicted else None)
        for span in own:
            if span.label and len(span.label) * _CHARACTER < (span.stop_ms - span.start_ms) / limit:
                axis.text((span.start_ms + span.stop_ms) / 2.0, row, span.label, ha="center", va="center",
                          fontsize=7.5, color=INK)
        busy = sum(stop - start for start, stop in merged(own))
        axis.text(1.005, row, "{:.0f} ms".format(busy), transform=axis.get_yaxis_transform(), va="center",
                  fontsize=8.5, color=INK)
    axis.set_yticks(range(len(LANES)))
    axis.set_yticklabels([_NAMES[lane] for lane in LANES])
    axis.set_ylim(len(LANES) - 0.5, -0.5)
    axis.set_ylabel(name, fontweight="bold")
    axis.tick_params(axis="y", length=0)
    axis.axvline(end_ms(spans), color=INK, linewidth=1.0, linestyle="--")
