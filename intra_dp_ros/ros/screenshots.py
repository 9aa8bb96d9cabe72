"""Pictures of rviz and of the web page for the documentation: the demo's nodes, bag and link, on a hidden screen."""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Callable, Dict, List, Optional, Sequence

import cv2
import rospy

from intra_dp_ros.bench.browser import Browser, BrowserError, find_browser
from intra_dp_ros.bench.display import Display, DisplayError
from intra_dp_ros.ros.demo_apps import APPS
from intra_dp_ros.ros.demo_listener import Listener
from intra_dp_ros.ros.own_master import LaunchError, OwnMaster

_PAGE = "dashboard"
#: Picture -> the application that is shown.
PICTURES: Dict[str, str] = {"kapao": "kapao", "agrnav": "agrnav", _PAGE: "kapao"}
_SCREEN, _PAGE_WIDTH = (1240, 760), 1280  # of the windows in config/*.rviz; of the page [pixel]
_RATE_HZ, _BAG_S = 2.0, 40.0
_AT_S = {"kapao": 23.0, "agrnav": 6.0, _PAGE: 35.0}  # in the bag: when the picture is taken
_READY_S, _ANSWERS_S = 600.0, 120.0
_DRAWN_S = 4.0  # after the last input: software draws slowly, and all displays are to show the same moment
_MOST_BYTES = 150e3


def missing(picture: str) -> List[str]:
    """What this machine lacks for a picture, as sentences."""
    if picture == _PAGE:
        return [] if find_browser() else ["no Chromium outside a snap: install the package chromium, or google-chrome"]
    wanted = (("rviz", "rviz, of Noetic ros-noetic-rviz"), ("Xvfb", "xvfb"))
    return ["no {}: install the package {}".format(name, package) for name, package in wanted
            if shutil.which(name) is None]


def take(picture: str, path: str) -> None:
    """Start everything, take one picture, stop everything.

    Raises:
        LaunchError, BrowserError, DisplayError, OSError: it cannot be taken.
    """
    app = APPS[PICTURES[picture]]
    display = None
    with tempfile.TemporaryDirectory(prefix="screenshots_") as folder:
        extra = list(app.launch)
        if app is APPS["kapao"]:
            extra.append("config:=" + _goals(folder))
        if picture != _PAGE:
            display = Display(_SCREEN)
            os.environ.update(DISPLAY=display.name, LIBGL_ALWAYS_SOFTWARE="1")
            extra.append("rviz:=true")
        arguments = ["app:=" + PICTURES[picture], "image:=" + app.input.name, "model:=" + app.model, *extra]
        nodes = OwnMaster("demo.launch", arguments, os.path.join(folder, "nodes.log"))
        try:
            nodes.start("screenshots")
            listener = Listener(app, "/shaper", "/stats")
            _until(lambda: (listener.status() or {}).get("state") == "SPLIT", "a connected robot", _READY_S, nodes)
            bag = os.path.join(folder, "input.bag")
            app.write(bag, _RATE_HZ, _BAG_S)
            listener.begin(picture)
            with _player(bag):
                if display is None:
                    _photograph_page(path, lambda: _until_answered(listener, picture, nodes), nodes)
                else:
                    _until_answered(listener, picture, nodes)
            if display is not None:
                time.sleep(_DRAWN_S)
                _save(display, path)
        except LaunchError as error:
            with open(nodes.log, encoding="utf-8") as log:
                raise LaunchError("{}:\n{}".format(error, "".join(log.readlines()[-10:]))) from None
        finally:
            nodes.stop()
            if display is not None:
                display.close()


def _goals(folder: str) -> str:
    """A file of parameters: goals are shown, too; nobody here drives to them."""
    path = os.path.join(folder, "goals.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("publish_goal: true\n")
    return path


class _player:
    """Plays a bag while it lasts."""

    def __init__(self, bag: str) -> None:
        self._command = ["rosbag", "play", "--quiet", "--wait-for-subscribers", bag]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, start_new_session=True)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=10.0)


def _until(is_true: Callable[[], bool], what: str, seconds: float, nodes: OwnMaster) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        nodes.check()
        if time.monotonic() > end:
            raise LaunchError("not within {:.0f} s: {}".format(seconds, what))
        time.sleep(0.2)


def _until_answered(listener: Listener, picture: str, nodes: OwnMaster) -> None:
    at = _AT_S[picture]
    _until(lambda: bool(listener.answers) and max(listener.answers) - min(listener.inputs) >= at,
           "an answer to what is in the bag at {:g} s".format(at), _ANSWERS_S, nodes)


def _photograph_page(path: str, wait: Callable[[], None], nodes: OwnMaster) -> None:
    page = subprocess.Popen(["rosrun", "intra_dp_ros", "dashboard_node", "_port:=0", "_history:=40"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)
    browser = None
    try:
        _until(lambda: rospy.has_param("/dashboard/url"), "the web page's address", 30.0, nodes)
        browser = Browser()
        browser.look(_PAGE_WIDTH, 1000)
        browser.open(rospy.get_param("/dashboard/url"))
        wait()
        browser.until("document.querySelectorAll('#gantt rect.measured.c-server').length > 0", "a split frame", 30.0)
        browser.look(_PAGE_WIDTH, int(browser.evaluate("document.documentElement.scrollHeight")))
        time.sleep(1.0)  # for what depends on the size
        browser.screenshot(path)
    finally:
        if browser is not None:
            browser.close()
        os.killpg(page.pid, signal.SIGTERM)


def _save(display: Display, path: str) -> None:
    bgr = display.picture()[..., ::-1]
    for quality in range(90, 40, -5):
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(data) <= _MOST_BYTES:
            break
    with open(path, "wb") as file:
        file.write(data.tobytes())


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Take one picture of rviz (kapao, agrnav) or of the web page (dashboard)."""
    parser = argparse.ArgumentParser(prog="screenshots", description=main.__doc__)
    parser.add_argument("picture", choices=sorted(PICTURES))
    parser.add_argument("--out", default="docs/images", help="folder of the picture (%(default)s)")
    options = parser.parse_args(argv)
    lacks = missing(options.picture)
    for line in lacks:
        print("screenshots: {}".format(line), file=sys.stderr)
    if lacks:
        return 1
    path = os.path.join(options.out, options.picture + ".jpg")
    try:
        os.makedirs(options.out, exist_ok=True)
        take(options.picture, path)
    except (LaunchError, BrowserError, DisplayError, OSError) as error:
        print("screenshots: {}".format(error), file=sys.stderr)
        return 1
    print("{}: {:.0f} kB".format(path, os.path.getsize(path) / 1e3))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = main()
    sys.stdout.flush()
    os._exit(code)  # rospy's threads do not end by themselves without a signal
