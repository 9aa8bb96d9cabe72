"""The report's page: one HTML file that needs no network."""
import base64
import os
from dataclasses import dataclass
from html import escape
from typing import Any, Dict, List, Sequence

import cv2

from intra_dp_ros.bench.summary import (
    ENERGY_NOTE, exactness_sentence, frames_sentence, headline, number, slowdown_words, table_rows)

_MAX_INLINE_VIDEO = 3000000  # [byte]; larger ones are linked only
_MIME = {".png": "image/png", ".webm": "video/webm"}
_STYLE = """
body { font: 16px/1.5 sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
p.result { font-size: 1.2rem; background: #eef6f2; border-left: 5px solid #009e73; padding: .7rem 1rem; }
p.lost { background: #fbeee6; border-left: 5px solid #d55e00; padding: .7rem 1rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; } dt { font-weight: bold; } dd { margin: 0 0 .5rem 0; }
img, video { max-width: 100%; height: auto; } figure { margin: 1.2rem 0; }
figcaption { color: #555; font-size: .9rem; white-space: pre-line; }
.stills { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; }
.stills figure { margin: 0; }
@media (max-width: 40rem) { table { display: block; overflow-x: auto; } th, td { padding: .3rem .5rem; } }
"""


@dataclass(frozen=True)
class Picture:
    """An image file with what it shows."""

    caption: str  # plain text
    path: str  # of a PNG


def page(summary: Dict[str, Any], pictures: Sequence[Picture], stills: Sequence[Picture], video: str) -> str:
    """The page as text.

    Args:
        summary: of `summarise`.
        pictures: plots, in order.
        stills: annotated frames; may be empty.
        video: path of the video beside the page; empty: none.

    Raises:
        OSError: a picture or the video cannot be read.
    """
    parts = [
        "<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>{}</title>".format(escape("intra_dp_ros demo: " + summary["model"])),
        "<style>{}</style></head><body>".format(_STYLE),
        "<h1>{}</h1>".format(escape("intra_dp_ros demo: {} split between a robot and a server".format(
            summary["model"]))),
        '<p class="result">{}</p>'.format(escape(headline(summary))),
        '<p{}>{}.</p>'.format(' class="lost"' if summary["frames_lost"] else "", escape(frames_sentence(summary))),
        "<p>{}.</p>".format(escape(_first_upper(exactness_sentence(summary)))),
        "<h2>Summary</h2>", _table(summary),
        "<p>{}</p>".format(escape(_prediction(summary))),
        _takeovers(summary),
        "<h2>Pictures</h2>", *(_figure(p, _data_uri(p.path)) for p in pictures),
        "<h2>Annotated frames</h2>", _stills(stills, video),
        "<h2>How it was measured</h2>", _method(summary),
        "<h2>Limits</h2>", "<ul>", *("<li>{}</li>".format(escape(text)) for text in _limits(summary)), "</ul>",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(summary: Dict[str, Any]) -> str:
    heading, *rows = table_rows(summary)
    lines = ["<table><tr>{}</tr>".format("".join("<th>{}</th>".format(escape(c)) for c in heading))]
    lines += ["<tr>{}</tr>".format("".join("<td>{}</td>".format(escape(c)) for c in row)) for row in rows]
    return "\n".join(lines + ["</table>"])


def _prediction(summary: Dict[str, Any]) -> str:
    text = "Latency: sensor message in to result message out. Energy and bytes: means per answered frame."
    if summary["predicted_ms"] is None:
        return text + " The scheduler predicted nothing."
    return text + " Median inference time of intra_dp: predicted {:.0f} ms, measured {} ms.".format(
        summary["predicted_ms"], number(summary["measured_inference_ms"]))


def _takeovers(summary: Dict[str, Any]) -> str:
    if not summary["takeover_reasons"]:
        return ""
    return "<p>The robot took over:</p><ul>{}</ul>".format("".join(
        "<li>{} x: {}</li>".format(count, escape(reason or "no reason given"))
        for reason, count in sorted(summary["takeover_reasons"].items())))


def _data_uri(path: str) -> str:
    with open(path, "rb") as stream:
        data = base64.b64encode(stream.read()).decode("ascii")
    return "data:{};base64,{}".format(_MIME[os.path.splitext(path)[1]], data)


def _photo_uri(path: str) -> str:
    """As JPEG: photos as PNG would make the page four times larger; the PNG files stay beside it."""
    image = cv2.imread(path)
    if image is None:
        raise OSError("{} is no image".format(path))
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def _figure(picture: Picture, uri: str) -> str:
    return '<figure><img src="{}" alt="{}"><figcaption>{}</figcaption></figure>'.format(
        uri, escape(picture.caption), escape(picture.caption))


def _stills(stills: Sequence[Picture], video: str) -> str:
    lines: List[str] = []
    if video:
        name = escape(os.path.basename(video))
        playable = os.path.splitext(video)[1] in _MIME
        if playable:
            small = os.path.getsize(video) < _MAX_INLINE_VIDEO
            lines.append('<video controls muted loop src="{}"></video>'.format(_data_uri(video) if small else name))
        lines.append('<p>Video: <a href="{0}">{0}</a>{1}</p>'.format(
            name, "" if playable else " (browsers do not play this format; a video player does)"))
    if stills:
        lines += ['<div class="stills">', *(_figure(p, _photo_uri(p.path)) for p in stills), "</div>"]
    return "\n".join(lines) or "<p>No images were kept.</p>"


def _method(summary: Dict[str, Any]) -> str:
    shape = " x ".join(str(n) for n in summary["input_shape"])
    mean = summary["mean_bandwidth_MBps"]
    model = summary["model"]
    if shape:
        model += ", input {}".format(shape)
    if summary["parameters"]:
        model += ", {:.2f} million parameters".format(summary["parameters"] / 1e6)
    entries = (
        ("Model", model),
        ("Weights", "{}: {}".format(summary["weights"], summary["weights_note"])),
        ("Machine", summary["machine"]),
        ("Robot", _first_upper(slowdown_words(summary["robot_slowdown"]))),
        ("Link", "{}, mean {:.2f} MB/s ({:.0f} Mbit/s)".format(summary["trace"], mean, mean * 8.0)),
        ("Length", "{:.0f} s for each strategy".format(summary["seconds"])),
        ("Exactness", exactness_sentence(summary) + " (max |a-b| / max |b|)"),
        ("Energy", ENERGY_NOTE),
    )
    return "<dl>{}</dl>".format("".join(
        "<dt>{}</dt><dd>{}</dd>".format(escape(name), escape(text)) for name, text in entries))


def _limits(summary: Dict[str, Any]) -> List[str]:
    limits = [
        "One run on one machine. The strategies ran one after the other; other load on the machine may have met one "
        "and not another.",
        "The link is shaped in software after the trace; loss, interference and TCP's reaction to them are not "
        "emulated.",
        "Energy is computed from the time spent computing, transmitting and waiting and from published power values of "
        "another board; nothing was measured with a meter.",
    ]
    if summary["robot_slowdown"] != 1.0:
        limits.insert(0, "The robot is not a real one: it is {}. The ratio between robot and server decides how much "
                         "there is to gain.".format(slowdown_words(summary["robot_slowdown"])))
    if summary["weights"] != "pretrained":
        limits.insert(0, "The weights are {}: what is drawn into the images means nothing. Times and bytes do not "
                         "depend on the values of the weights.".format(summary["weights"]))
    if not summary["frames_checked"]:
        limits.append("No result was compared with the unsplit model in this run.")
    return limits
