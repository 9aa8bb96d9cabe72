"""Lines, table, picture and page of soaks."""
import os
import re

import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from intra_dp_ros.bench.soak_report import draw, live_line, text_report, write_report  # noqa: E402
from test_soak import GOOD, make_record, replaced  # noqa: E402


def test_the_line_while_it_runs():
    line = live_line(12.0, 120, 30, 88, GOOD.frames[0], 11.5, GOOD.memory[-1])
    for words in ("120 in", "30 answered", "88 replaced", "350 ms split", "link 11.5 MB/s", "robot 700 MB"):
        assert words in line
    assert "0 in" in live_line(0.0, 0, 0, 0, None, 0.0, None)


def test_the_verdict_names_what_is_broken():
    lines = text_report(make_record(gone=("the robot was started again",))).splitlines()
    assert "100 messages in 10 s, 25 answered (0 local, 25 split, 0 takeover), 75 replaced" in lines[0]
    broken = [line for line in lines if line.startswith("BROKEN")]
    assert len(broken) == 1 and "the robot was started again" in broken[0]
    assert len([line for line in lines if line.startswith("kept")]) == 9


def test_a_report_of_several(tmp_path):
    other = make_record(model="kapao-style:raw", command="scripts/soak --model kapao-style:raw",
                        frames=replaced(GOOD.frames, 2, outcome="takeover", reason="late", rel_error=3e-4))
    path = write_report([GOOD, other], str(tmp_path / "soak.md"))
    text = open(path, encoding="utf-8").read()
    assert "- `scripts/soak`\n" in text and "| 10 of 10 |" in text and "| 9 of 10 |" in text and "**broken**" in text
    pictures = re.findall(r"\]\((\S+\.png)\)", text)
    assert pictures == ["soak_movenet-multipose.png", "soak_kapao-style-raw.png"]
    for name in pictures:
        assert 0 < os.path.getsize(str(tmp_path / name)) < 200000
    assert not [line for line in text.splitlines() if "nan" in line or "None" in line]


def test_pictures_of_empty_records(tmp_path):
    path = str(tmp_path / "soak.png")
    draw(make_record(results=(), frames=(), memory=(), link=()), path)
    assert cv2.imread(path) is not None
