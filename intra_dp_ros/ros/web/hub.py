"""The browsers that look at the page: what each of them is sent, and what it asks for.

Threading: everything runs on the web server's thread, whose loop is handed to `bind`; `picture`, `problem` and
`details` may be called from any thread.  Nothing here waits: services are called on threads of a pool.
"""
import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Awaitable, Callable, Dict, Iterable, Optional, Union

import rospy
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError

from intra_dp_ros.ros.board import Board
from intra_dp_ros.ros.web.jsontext import to_json
from intra_dp_ros.ros.web.outbox import ANSWER, DETAILS, NEWS, Outbox

NEWS_PERIOD_S = 0.5
_MOST_BROWSERS = 16
_LONGEST_NAME = 200
_THREADS = 4  # for services

Send = Callable[[Union[str, bytes]], Awaitable[None]]  # raises WebSocketClosedError
Want = Callable[[Iterable[str]], None]


class Browser:
    """One open page.

    Args:
        send: to it; done when the message has been handed to the system.
        host: where it is, for the log.
    """

    def __init__(self, send: Send, host: str) -> None:
        self.send = send
        self.host = host
        self.outbox = Outbox()
        self.robot = self.topic = ""  # that it looks at
        self.newest = 0  # point that it has
        self.is_asking = False  # a change of strategy is under way
        self.sending: Optional["asyncio.Future[None]"] = None


class Hub:
    """Knows all browsers.

    Args:
        board: what they are told.
        history_s: how far back the charts go [s].
        allow_control: whether they may change strategies.
        set_strategy: called with a robot's node and a strategy; blocks; see `services.set_strategy`.

    Attributes:
        want_pictures, want_details: told which topics and robots somebody looks at, whenever that changes.
    """

    def __init__(self, board: Board, history_s: float, allow_control: bool,
                 set_strategy: Callable[[str, str], Dict[str, Any]]) -> None:
        self.want_pictures: Want = _nobody
        self.want_details: Want = _nobody
        self._board = board
        self._history_s = history_s
        self._allow_control = allow_control
        self._set_strategy = set_strategy
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="services")
        self._browsers: Dict[Any, Browser] = {}
        self._details: Dict[str, Dict[str, Any]] = {}  # robot -> newest
        self._loop: Optional[IOLoop] = None

    def bind(self, loop: IOLoop) -> None:
        """The loop of the thread that everything runs on from now on."""
        self._loop = loop

    def join(self, key: Any, send: Send, host: str) -> bool:
        """A page was opened; False when there are too many."""
        if len(self._browsers) >= _MOST_BROWSERS:
            return False
        browser = self._browsers[key] = Browser(send, host)
        browser.outbox.note_news()
        browser.sending = asyncio.ensure_future(self._send(browser))
        return True

    def leave(self, key: Any) -> None:
        """A page was closed."""
        browser = self._browsers.pop(key, None)
        if browser is not None:
            browser.outbox.close()
            self._tell_wants()

    def hear(self, key: Any, text: Union[str, bytes]) -> None:
        """A page asks: {"watch": {"robot", "topic"}} or {"strategy": {"robot", "strategy"}}; all else is ignored."""
        browser = self._browsers.get(key)
        try:
            asked = json.loads(text)
            watch, change = asked.get("watch"), asked.get("strategy")
            if browser is not None and watch is not None:
                self._watch(browser, _name(watch["robot"]), _name(watch["topic"]))
            if browser is not None and change is not None:
                asyncio.ensure_future(self._change(browser, _name(change["robot"]), _name(change["strategy"])))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            rospy.logwarn_throttle(10.0, "a browser sent what is not understood; reload the page there")

    def tick(self) -> None:
        """There may be news; called every `NEWS_PERIOD_S`."""
        for browser in self._browsers.values():
            browser.outbox.note_news()

    def picture(self, topic: str, picture: bytes) -> None:
        """A new picture of a topic; any thread."""
        self._call(lambda: [b.outbox.put_picture(picture) for b in self._browsers.values() if b.topic == topic])

    def problem(self, topic: str, text: str) -> None:
        """Something is wrong with the pictures of a topic; any thread."""
        answer = {"kind": "picture_problem", "topic": topic, "text": text}
        self._call(lambda: [b.outbox.put_answer(answer) for b in self._browsers.values() if b.topic == topic])

    def details(self, robot: str, details: Dict[str, Any]) -> None:
        """Of a robot's last inference, see `services`; any thread."""
        self._call(lambda: self._keep_details(robot, {"kind": "details", "robot": robot, **details}))

    async def close(self) -> None:
        """Send nothing more."""
        sending = [browser.sending for browser in self._browsers.values()]
        for key in list(self._browsers):
            self.leave(key)
        if sending:
            await asyncio.wait(sending, timeout=1.0)
        self._pool.shutdown(wait=False)

    def _call(self, what: Callable[[], Any]) -> None:
        if self._loop is not None:
            self._loop.add_callback(what)

    def _keep_details(self, robot: str, details: Dict[str, Any]) -> None:
        if self._details.get(robot) == details:
            return
        self._details[robot] = details
        for browser in self._browsers.values():
            if browser.robot == robot:
                browser.outbox.put_details(details)

    def _watch(self, browser: Browser, robot: str, topic: str) -> None:
        known = {view.name: view.pictures for view in self._board.robots(time.monotonic())}
        robot = robot if robot in known else ""
        topic = topic if topic in known.get(robot, ()) else ""  # not just any topic: only what its node paints
        if topic != browser.topic:
            browser.outbox.forget_pictures()
        browser.robot, browser.topic = robot, topic
        if robot in self._details:
            browser.outbox.put_details(self._details[robot])
        self._tell_wants()

    def _tell_wants(self) -> None:
        robots = {b.robot for b in self._browsers.values()} - {""}
        self._details = {robot: found for robot, found in self._details.items() if robot in robots}
        self.want_details(robots)
        self.want_pictures({b.topic for b in self._browsers.values()} - {""})

    async def _change(self, browser: Browser, robot: str, strategy: str) -> None:
        node = self._board.node_of(robot)
        if not self._allow_control:
            result: Dict[str, Any] = {"accepted": False, "reason": "this page may not change strategies: start it with "
                                      "allow_control:=true"}
        elif not node:
            result = {"accepted": False, "reason": "there is no robot {!r} whose node is known".format(robot)}
        elif browser.is_asking:
            result = {"accepted": False, "reason": "the change before is still under way"}
        else:
            browser.is_asking = True
            try:
                result = await asyncio.get_event_loop().run_in_executor(
                    self._pool, self._set_strategy, node, strategy)
            except Exception as error:  # whatever it is, the person who clicked must see it
                result = {"accepted": False, "reason": repr(error)}
            finally:
                browser.is_asking = False
            rospy.loginfo("strategy %s for %s, asked for by %s: %s", strategy, robot, browser.host,
                          "accepted" if result["accepted"] else result["reason"])
        browser.outbox.put_answer({"kind": "answer", "robot": robot, "strategy": strategy, **result})

    async def _send(self, browser: Browser) -> None:
        """Everything to one browser, one after the other, as fast as it takes it."""
        try:
            while True:
                found = await browser.outbox.take()
                if found is None:
                    return
                kind, what = found
                if kind == NEWS:
                    await browser.send(to_json(self._news(browser)))
                else:
                    await browser.send(to_json(what) if kind in (ANSWER, DETAILS) else what)
        except WebSocketClosedError:
            return  # `leave` is called as well

    def _news(self, browser: Browser) -> Dict[str, Any]:
        now = time.monotonic()
        browser.newest, points = self._board.points(browser.newest)
        return {"kind": "news", "now": now, "history_s": self._history_s, "allow_control": self._allow_control,
                "robots": [asdict(robot) for robot in self._board.robots(now)],
                "servers": [asdict(server) for server in self._board.servers(now)], "points": points}


def _nobody(names: Iterable[str]) -> None:
    """Nobody wants to know."""


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise ValueError("no name")
    return value
