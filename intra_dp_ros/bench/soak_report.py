"""A soak's lines, table and picture, and a Markdown report of one run or of several."""
import os
from typing import List, Optional, Sequence, Set, Tuple

import numpy as np

from intra_dp_ros.bench.plots import FAINT, INK, figure, save, title
from intra_dp_ros.bench.record import OUTCOMES
from intra_dp_ros.bench.soak_record import Frame, Memory, SoakRecord
from intra_dp_ros.bench.soak_verdict import FLAT, ON_ITS_WAY_S, ages, begins, growth, judge, unanswered
from intra_dp_ros.bench.summary import number, slowdown_words

#: Okabe and Ito's colours, as the strategies have them in other pictures: what the robot did alone, together, in need.
_OUTCOME = {"local": ("#0072B2", "s"), "split": ("#009E73", "o"), "takeover": ("#D55E00", "v")}
_ROBOT, _SERVER = "#0072B2", "#E69F00"
_COLUMNS = ("run", "sent", "answered", "replaced", "local / split / taken over", "median ms", "p95 ms", "age, at most",
            "compared", "largest error", "robot MB", "server MB", "promises kept")
_INTRODUCTION = (
    "Real nodes, as `demo.launch` starts them (the application's, the server, the emulated air, the bandwidth "
    "monitor), under a sensor that does not wait, and a listener that hears what a user hears. Promises are judged, "
    "timings only shown.",
    "",
    "- **Accepted**: the node numbers the frames it takes. No number may be missing, and each has one result with the "
    "stamp and frame_id of its sensor message. What it does not take, newer messages replaced, and it counts them.",
    "- **Age**: how many messages had been published after the one that is answered when the node took it, which is "
    "when it had arrived and the frame before was done. Those of {:g} s may be on their way, at least one.".format(
        ON_ITS_WAY_S),
    "- **Compared**: the node compares every so many frames with the unsplit model. What it published of these is "
    "compared once more, decoded, with what the model gives in another process.",
    "- **Memory**: resident set, median of the last third of the run against that of the second third; flat is less "
    "than {:.0%} more. Before the run the sensor goes through one turn of the trace, so that every plan has been used "
    "once. In a run of a minute, 2 % of 900 MB are an image of 640x960 that is forgotten every two seconds.".format(
        FLAT),
)


def live_line(time_s: float, sent: int, answered: int, replaced: int, frame: Optional[Frame], true_MBps: float,
              memory: Optional[Memory]) -> str:
    """What is going on, for the terminal.

    Args:
        frame: the newest answered one.
        true_MBps: what the link lets through now.
    """
    words = "{:6.1f} s  {} in, {} answered, {} replaced".format(time_s, sent, answered, replaced)
    if frame is not None:
        words += "   {:.0f} ms {}   link {:.1f} MB/s (estimate {:.1f})".format(
            frame.latency_s * 1e3, frame.outcome, true_MBps, frame.bandwidth_MBps)
    if memory is not None:
        words += "   robot {:.0f} MB, server {:.0f} MB".format(memory.robot_MB, memory.server_MB)
    return words


def text_report(record: SoakRecord) -> str:
    """The verdict for the terminal: a line a promise."""
    found = judge(record)
    width = max(len(p.name) for p in found)
    lines = ["{}  {}  {}".format("BROKEN" if p.broken else "kept  ", p.name.ljust(width), p.broken or p.figures)
             for p in found]
    return "\n".join([_frames_sentence(record), "", *lines])


def _latencies(record: SoakRecord) -> List[float]:
    return [f.latency_s * 1e3 for f in record.frames]


def _percentile(values: Sequence[float], percent: float) -> Optional[float]:
    return float(np.percentile(values, percent)) if len(values) else None


def _frames_sentence(record: SoakRecord) -> str:
    values, counts = _latencies(record), _outcomes(record)
    words = "{} messages in {:.0f} s, {} answered ({}), {} replaced by newer ones; median latency {} ms, 95 % {} ms"
    return words.format(
        len(record.sent), record.seconds, len(record.results),
        ", ".join("{} {}".format(n, name) for name, n in zip(OUTCOMES, counts)), len(unanswered(record)),
        number(_percentile(values, 50)), number(_percentile(values, 95)))


def _outcomes(record: SoakRecord) -> Tuple[int, ...]:
    return tuple(sum(f.outcome == name for f in record.frames) for name in OUTCOMES)


def write_report(records: Sequence[SoakRecord], path: str) -> str:
    """A Markdown file and a picture a run beside it, whose names begin with its name; its path.

    Raises:
        OSError: it cannot be written.
    """
    stem = os.path.splitext(path)[0]
    lines = ["# Soak", "", "Written by", "", *dict.fromkeys("- `{}`".format(r.command) for r in records), "",
             *_INTRODUCTION, "", *summary(records)]
    taken: Set[str] = set()
    for place, record in enumerate(records, 1):
        picture = "{}_{}.png".format(stem, record.model.replace(":", "-").replace("/", "-"))
        if picture in taken:  # another run of the same model
            picture = picture.replace(".png", "_{}.png".format(place))
        taken.add(picture)
        draw(record, picture)
        lines += ["", "## {}".format(_name(record)), "", _conditions(record), "", *promises(record), "",
                  "![{}]({})".format("Latency, link and memory over time", os.path.basename(picture))]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return path


def _name(record: SoakRecord) -> str:
    return "{}, {} at {:g} Hz for {:.0f} s".format(record.app, record.model, record.rate_hz, record.seconds)


def summary(records: Sequence[SoakRecord]) -> List[str]:
    """A Markdown table, a row a run."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for record in records:
        values, found, held = _latencies(record), growth(record), judge(record)
        errors = [f.rel_error for f in record.frames if f.rel_error >= 0.0]
        lines.append("| " + " | ".join([
            _name(record), str(len(record.sent)), str(len(record.results)), str(len(unanswered(record))),
            " / ".join(map(str, _outcomes(record))), number(_percentile(values, 50)), number(_percentile(values, 95)),
            str(max(ages(record), default=0)), str(len(errors)), number(max(errors, default=None), "{:.1e}"),
            *("{:.0f} ({:+.2%})".format(g.last, g.share) for g in found.values()),
            "{} of {}".format(sum(not p.broken for p in held), len(held))]) + " |")
    return lines


def promises(record: SoakRecord) -> List[str]:
    """A Markdown table, a row a promise."""
    return ["| promise | found | |", "|---|---|---|", *(
        "| {} | {} | {} |".format(p.name, p.broken or p.figures, "**broken**" if p.broken else "kept")
        for p in judge(record))]


def _conditions(record: SoakRecord) -> str:
    note = record.weights_note.replace(os.path.expanduser("~"), "~")  # nobody else's folder
    words = ["{} weights ({}), {:.1f} million parameters".format(
        record.weights.capitalize(), note, record.parameters / 1e6), record.inputs]
    words.append("Strategy {}, robot {}, link {}, warm-up {:.0f} s".format(
        record.strategy, slowdown_words(record.robot_slowdown), record.trace, record.warm_up_s))
    words.append("{}; {}; load average {:.1f}{}".format(
        record.machine, record.versions, record.load, "; commit " + record.commit if record.commit else ""))
    return ". ".join(words) + "."


def draw(record: SoakRecord, path: str) -> None:
    """A PNG: latency over time by outcome, the link, the memory of both nodes.

    Raises:
        OSError: it cannot be written.
    """
    fig = figure(9.6, 6.0)
    top, middle, low = fig.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1, 1.3)})
    _draw_latency(top, record)
    middle.fill_between([x.time_s for x in record.link], [x.true_MBps for x in record.link], step="post",
                        color="#BBBBBB", linewidth=0.0, label="true")
    known = [(began, f.bandwidth_MBps) for f, began in begins(record) if f.bandwidth_MBps > 0]
    middle.plot([t for t, _ in known], [v for _, v in known], color=INK, linewidth=1.0, label="robot's estimate")
    middle.set_ylabel("link [MB/s]")
    for name, colour, values in (("robot", _ROBOT, [m.robot_MB for m in record.memory]),
                                 ("server", _SERVER, [m.server_MB for m in record.memory])):
        low.plot([m.time_s for m in record.memory], values, color=colour, linewidth=1.6, label="{}'s node".format(name))
    for edge in (record.seconds / 3, 2 * record.seconds / 3):
        low.axvline(edge, color=FAINT, linewidth=0.8)
    low.set_ylabel("memory [MB]")
    low.set_xlabel("time since the sensor began [s]")
    for axis in (top, middle, low):
        axis.set_ylim(bottom=0.0)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    low.set_xlim(left=0.0)
    save(fig, path)


def _draw_latency(axis, record: SoakRecord) -> None:
    axis.grid(axis="y", color=FAINT, linewidth=0.6)
    for name in OUTCOMES:
        found = [(began, f.latency_s * 1e3) for f, began in begins(record) if f.outcome == name]
        if found:
            colour, marker = _OUTCOME[name]
            axis.plot([t for t, _ in found], [v for _, v in found], linestyle="", marker=marker, markersize=4.0,
                      color=colour, label="{} ({})".format(name, len(found)))
    axis.set_ylabel("latency [ms]")
    title(axis, "{}: {} sent, {} answered, {} replaced by newer ones".format(
        record.model, len(record.sent), len(record.results), len(unanswered(record))))
