"""Pictures, video and page of a demo record."""
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from demo_records import make_record, make_sample, spans  # noqa: E402
from intra_dp_ros.apps.people import PersonDetection  # noqa: E402
from intra_dp_ros.bench import gantt, plots, report, video  # noqa: E402
from intra_dp_ros.bench.record import Span  # noqa: E402

PERSON = PersonDetection(0.9, (10.0, 10.0, 30.0, 40.0), ())
DRAWINGS = [gantt.gantt, plots.latency, plots.bandwidth, plots.bars]


@pytest.fixture(scope="module")
def record():
    return make_record()


def images(count, size=(60, 80)):
    out = []
    for i in range(count):
        image = np.full(size + (3,), (200, 40, 40), np.uint8)
        image[:, 5 * i:5 * i + 10] = (20, 20, 220)
        out.append(image)
    return out


def names(drawing):
    return drawing.__name__


@pytest.mark.parametrize("draw", DRAWINGS, ids=names)
def test_pictures_show_something(tmp_path, record, draw):
    path = str(tmp_path / "picture.png")
    draw(record, path)
    image = cv2.imread(path)
    assert 300 < image.shape[0] < 1000 and 1000 < image.shape[1] < 1400
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("draw", DRAWINGS, ids=names)
def test_pictures_of_empty_records(tmp_path, draw):
    path = str(tmp_path / "picture.png")
    draw(make_record(samples=(), bandwidth=(), measured_spans=(), predicted_spans=(), frames_in={}), path)
    assert cv2.imread(path) is not None


def test_titles_state_what_was_found(record):
    assert re.match(r"intra_dp \d+ ms, offload \d+ ms, local \d+ ms \(medians\)$", plots.medians_words(record))
    assert len({style for style in plots.style_of(["local", "offload", "intra_dp", "dina", "dsccs"]).values()}) == 5


def test_overlap_of_computing_and_transmitting():
    assert gantt.merged([Span("robot", 4.0, 6.0, ""), Span("server", 0.0, 2.0, ""), Span("robot", 1.0, 3.0, ""),
                         Span("robot", 6.0, 7.0, "")]) == [(0.0, 3.0), (4.0, 7.0)]
    busy = (Span("robot", 0.0, 10.0, ""), Span("server", 5.0, 20.0, ""), Span("uplink", 8.0, 15.0, ""),
            Span("downlink", 18.0, 30.0, ""))
    assert gantt.overlap_ms(busy) == 9.0
    assert gantt.overlap_ms(()) == 0.0 and gantt.end_ms(busy) == 30.0 and gantt.overlap_ms(spans(1.0)) > 0.0


def test_annotated_images_have_even_sizes_and_keep_the_original():
    image = np.zeros((61, 81, 3), np.uint8)
    out = video.annotate(image, [PERSON], video.caption_of(make_sample(plan="x" * 300)))
    assert out.dtype == np.uint8 and out.shape[0] > 61 and out.shape[0] % 2 == 0 and out.shape[1] == 82
    assert out[:61, :81].any() and not image.any()
    assert (out[62:, :81] > 120).any(), "no caption"


def test_a_long_plan_goes_on_and_all_pictures_of_a_video_are_of_one_size():
    image, plan = np.zeros((60, 640, 3), np.uint8), "robot computes 2 % of the rows, input rows 0-429 of 480 up in 8"
    short, long = (video.annotate(image, [], video.caption_of(make_sample(plan=p))) for p in ("local", plan * 2))
    assert short.shape == long.shape
    last = slice(60 + 2 * 22 + 8, None)
    assert (long[last] > 120).any() and not (short[last] > 120).any()


def test_a_timeline_says_what_the_prediction_was_corrected_to():
    samples = (make_sample(frame=17, predicted_ms=260.0), make_sample("offload", frame=17, predicted_ms=999.0))
    assert "corrected by earlier frames to 260 ms" in gantt._title(make_record(samples=samples))
    same = gantt.end_ms(make_record().predicted_spans)
    assert "corrected" not in gantt._title(make_record(samples=(make_sample(frame=17, predicted_ms=same),)))


def test_captions_say_what_the_frame_is():
    text = video.caption_of(make_sample(frame=17, latency_ms=171.4, outcome="takeover", bandwidth_MBps=0.0))
    assert "frame 17" in text and "171 ms" in text and "took over" in text and "link unknown" in text


def colours(path):
    capture, found = cv2.VideoCapture(path), []
    while True:
        ok, image = capture.read()
        if not ok:
            return found
        found.append(image[..., ::-1].mean(axis=(0, 1)))


@pytest.mark.parametrize("formats", [video.FORMATS, ((".webm", "XXXX", "nothing"), video.FORMATS[-1])],
                         ids=["best", "fallback"])
def test_video_has_the_frames_in_their_colours(tmp_path, monkeypatch, formats):
    monkeypatch.setattr(video, "FORMATS", formats)
    with video.VideoWriter(str(tmp_path / "demo"), (60, 80), 5.0) as writer:
        for image in images(6) + [np.full((30, 40, 3), (200, 40, 40), np.uint8)]:
            writer.write(image)
    assert [os.path.join(str(tmp_path), p) for p in os.listdir(str(tmp_path))] == [writer.path]
    assert writer.format in [f[2] for f in formats] and writer.format != "nothing"
    found = colours(writer.path)
    assert len(found) == 7 and all(c[0] > 150 and c[1] < 70 for c in found)


def test_videos_that_cannot_be(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="even"):
        video.VideoWriter(str(tmp_path / "demo"), (61, 80), 5.0)
    with pytest.raises(ValueError, match="fps"):
        video.VideoWriter(str(tmp_path / "demo"), (60, 80), 0.0)
    with pytest.raises(video.VideoError, match="FFmpeg"):
        video.VideoWriter(str(tmp_path / "missing" / "demo"), (60, 80), 5.0)


class Page(HTMLParser):
    """Collects what a page refers to and whether its tags nest."""

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.tags, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read_page(path):
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    return Page(text), text


def test_the_page_is_whole_and_needs_no_network(tmp_path, record):
    frames = [("frame {}".format(i), image) for i, image in enumerate(images(9))]
    path = report.write_report(record, frames, str(tmp_path / "out"))
    page, text = read_page(path)
    assert page.open == []
    for words in ("the better of local and offload", "121 frames in, 120 answered, 1 lost", "How it was measured",
                  "Limits", "2-core test machine", "slowing this machine's computing down 3 x", "11.6",
                  "pretrained: a file", "took over", "mean per frame", "indoors_like", "frame 8"):
        assert words in page.text, words
    assert page.tags.count("img") == 4 + report.STILLS and page.tags.count("video") == 1
    inlined = [link for link in page.links if link.startswith("data:")]
    assert len(inlined) == 4 + report.STILLS + 1
    assert [link for link in page.links if link not in inlined] == ["demo.webm"]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]*", "", text))
    assert sorted(os.listdir(str(tmp_path / "out"))) == [
        "bandwidth.png", "bars.png", "demo.webm", "frames", "gantt.png", "latency.png", "record.json", "report.html",
        "summary.json"]
    assert len(colours(str(tmp_path / "out" / "demo.webm"))) == 9


def test_the_report_can_be_made_again_from_its_record(tmp_path, record, capsys):
    out = str(tmp_path)
    first = read_page(report.write_report(record, [("one", images(1)[0])], out))[0]
    assert report.main([os.path.join(out, "record.json"), out]) == 0
    again = read_page(os.path.join(out, "report.html"))[0]
    assert again.text == first.text and again.tags == first.tags
    assert "report.html" in capsys.readouterr().out
    assert report.main([os.path.join(out, "none.json"), out]) == 1
    assert "none.json" in capsys.readouterr().err
    other = read_page(report.write_report(record, (), os.path.join(out, "other")))[0]
    assert "No images were kept." in other.text


def test_everything_is_escaped(tmp_path):
    evil = '<script src="x">&"\''
    record = make_record(model=evil, weights=evil, weights_note=evil, machine=evil, trace=evil, samples=(
        make_sample(evil, outcome="takeover", reason=evil), make_sample(outcome="takeover", reason=evil)))
    page, _ = read_page(report.write_report(record, [(evil, images(1)[0])], str(tmp_path)))
    assert "script" not in page.tags and page.open == [] and page.text.count(evil) >= 7


def test_limits_name_what_the_run_was(tmp_path):
    plain = make_record(robot_slowdown=1.0)
    random = make_record(weights="random", samples=(make_sample(),))
    plain_text = read_page(report.write_report(plain, (), str(tmp_path / "a")))[0].text
    random_text = read_page(report.write_report(random, (), str(tmp_path / "b")))[0].text
    assert "not a real one" not in plain_text and "means nothing" not in plain_text
    assert "not a real one" in random_text and "means nothing" in random_text
    assert "No result was compared" in random_text
