"""A directory with everything a demo run showed: a page, pictures, annotated frames, a video, numbers.

`python3 -m intra_dp_ros.bench.report RECORD.json OUT_DIR` makes the report again from a saved record; annotated frames
and video of an earlier report in the same directory are kept and shown.
"""
import argparse
import json
import os
import sys
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from intra_dp_ros.bench import gantt, plots
from intra_dp_ros.bench.page import Picture, page
from intra_dp_ros.bench.record import DemoRecord, RecordError
from intra_dp_ros.bench.summary import summarise, text_summary
from intra_dp_ros.bench.video import FORMATS, VideoWriter

STILLS = 6  # annotated frames shown on the page
_PICTURES = (
    ("latency.png", plots.latency, "Latency over time, and what the link let through meanwhile."),
    ("gantt.png", gantt.gantt, "What the robot, the link and the server did during one inference; busy time at the "
                               "right. Hatched: what the scheduler expected."),
    ("bars.png", plots.bars, "Left: latency of every frame. Right: mean time of the parts of a frame."),
    ("bandwidth.png", plots.bandwidth, "What the link let through, and what the robot believed."),
)
_CAPTIONS = "captions.json"


def write_report(record: DemoRecord, frames: Sequence[Tuple[str, np.ndarray]], out_dir: str, fps: float = 5.0) -> str:
    """Write the report.

    Args:
        record: the run.
        frames: (caption, uint8 RGB `[H, W, 3]`) in the order of the video, as `annotate` makes them; without any, those
            of an earlier report in `out_dir` stay.
        out_dir: made if it is not there.  Gets `report.html`, `summary.json`, `record.json`, four pictures, `frames/`
            and `demo.webm` (or `.avi`).
        fps: images per second of the video.

    Returns:
        Path of the page.

    Raises:
        OSError: the directory or a file cannot be written, or no video can.
    """
    stills_dir = os.path.join(out_dir, "frames")
    os.makedirs(stills_dir, exist_ok=True)
    record.to_json(os.path.join(out_dir, "record.json"))
    summary = summarise(record)
    with open(os.path.join(out_dir, "summary.json"), "w", encoding="utf-8") as stream:
        json.dump(summary, stream, indent=1)
        stream.write("\n")
    pictures = []
    for name, make, caption in _PICTURES:
        path = os.path.join(out_dir, name)
        make(record, path)
        pictures.append(Picture(caption, path))
    if frames:
        _write_video(frames, out_dir, fps)
        _write_stills(frames, stills_dir)
    text = page(summary, pictures, _stills(stills_dir), _find_video(out_dir))
    path = os.path.join(out_dir, "report.html")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def _write_video(frames: Sequence[Tuple[str, np.ndarray]], out_dir: str, fps: float) -> None:
    for path in _videos(out_dir):
        os.remove(path)
    height, width = frames[0][1].shape[:2]
    with VideoWriter(os.path.join(out_dir, "demo"), (height - height % 2, width - width % 2), fps) as writer:
        for _, image in frames:
            writer.write(image)


def _write_stills(frames: Sequence[Tuple[str, np.ndarray]], stills_dir: str) -> None:
    """A few frames, evenly spread, with a file of their captions."""
    for picture in _stills(stills_dir):
        os.remove(picture.path)
    captions = {}
    for i, index in enumerate(sorted({int(n) for n in np.linspace(0, len(frames) - 1, STILLS)})):
        caption, image = frames[index]
        name = "frame_{:02d}.png".format(i)
        if not cv2.imwrite(os.path.join(stills_dir, name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
            raise OSError("cannot write {} in {}".format(name, stills_dir))
        captions[name] = caption
    with open(os.path.join(stills_dir, _CAPTIONS), "w", encoding="utf-8") as stream:
        json.dump(captions, stream, indent=1)


def _stills(stills_dir: str) -> List[Picture]:
    """The annotated frames in the directory, whose captions file names them."""
    try:
        with open(os.path.join(stills_dir, _CAPTIONS), encoding="utf-8") as stream:
            captions = json.load(stream)
    except FileNotFoundError:
        return []
    found = [Picture(caption, os.path.join(stills_dir, name)) for name, caption in sorted(captions.items())]
    return [picture for picture in found if os.path.isfile(picture.path)]


def _videos(out_dir: str) -> List[str]:
    paths = [os.path.join(out_dir, "demo" + extension) for extension in dict.fromkeys(f[0] for f in FORMATS)]
    return [path for path in paths if os.path.isfile(path)]


def _find_video(out_dir: str) -> str:
    return next(iter(_videos(out_dir)), "")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the report of a saved demo record again."""
    parser = argparse.ArgumentParser(prog="python3 -m intra_dp_ros.bench.report", description=main.__doc__)
    parser.add_argument("record", help="record.json of a demo run")
    parser.add_argument("out_dir", help="directory to write")
    arguments = parser.parse_args(argv)
    try:
        record = DemoRecord.from_json(arguments.record)
        path = write_report(record, (), arguments.out_dir)
    except (OSError, RecordError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    print(text_summary(summarise(record)))
    print("report: {}".format(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
