"""The web page's server: who is let in, what waits for a slow browser, how it ends."""
import asyncio
import json
import socket
import urllib.error
import urllib.request

import pytest

pytest.importorskip("intra_dp_ros.msg")
pytest.importorskip("tornado")
import rospy  # noqa: E402
from tornado.httpclient import HTTPClientError, HTTPRequest  # noqa: E402
from tornado.websocket import websocket_connect  # noqa: E402

from intra_dp_ros.ros.board import Board  # noqa: E402
from intra_dp_ros.ros.web.guard import Guard, headers  # noqa: E402
from intra_dp_ros.ros.web.hub import Hub  # noqa: E402
from intra_dp_ros.ros.web.jsontext import to_json  # noqa: E402
from intra_dp_ros.ros.web.outbox import ANSWER, NEWS, PICTURE, Outbox  # noqa: E402
from intra_dp_ros.ros.web.server import WebServer  # noqa: E402

WAIT_S = 10.0


@pytest.mark.parametrize("address, header, expected", [
    ("127.0.0.1", "127.0.0.1:8088", "127.0.0.1:8088"), ("127.0.0.1", "localhost:8088", "localhost:8088"),
    ("127.0.0.1", "[::1]:8088", "[::1]:8088"), ("127.0.0.1", "evil.example:8088", ""),
    ("127.0.0.1", "192.168.1.7:8088", ""), ("127.0.0.1", None, ""), ("127.0.0.1", "a:b:c", ""),
    ("0.0.0.0", "192.168.1.7:8088", "192.168.1.7:8088"), ("0.0.0.0", "evil.example", "")])
def test_only_this_machines_names_are_hosts(address, header, expected):
    assert Guard(address).host(header) == expected


def test_only_the_own_page_is_an_origin():
    guard = Guard("127.0.0.1")
    assert guard.origin("http://127.0.0.1:8088", "127.0.0.1:8088")
    for foreign in ("http://evil.example", "https://127.0.0.1:8088", "http://127.0.0.1:9000", "null", "http://[",
                    "http://localhost:8088"):
        assert not guard.origin(foreign, "127.0.0.1:8088")
    assert "default-src 'none'" in headers("127.0.0.1:8088")["Content-Security-Policy"]


def test_a_slow_browser_gets_the_newest_and_answers_first():
    async def scene():
        box, taken = Outbox(), []
        for number in range(10):
            box.put_picture(b"%d" % number)
            box.note_news()
        box.put_answer({"to": "a click"})
        for _ in range(4):
            taken.append(await box.take())
        assert taken == [(ANSWER, {"to": "a click"}), (NEWS, None), (PICTURE, b"8"), (PICTURE, b"9")]
        assert box.dropped == 8
        box.close()
        assert await box.take() is None
    asyncio.new_event_loop().run_until_complete(scene())


def test_json_that_browsers_read():
    assert json.loads(to_json({"a": [float("nan"), 1.5], "b": (float("inf"),)})) == {"a": [None, 1.5], "b": [None]}


@pytest.fixture
def web():
    rospy.rostime.set_rostime_initialized(True)  # for throttled warnings; there is no node here
    asked = []

    def set_strategy(node, strategy):
        asked.append((node, strategy))
        return {"accepted": True, "reason": ""}
    hub = Hub(Board(60.0), 60.0, False, set_strategy)
    server = WebServer(hub, "127.0.0.1", 0)
    server.start()
    server.asked = asked
    yield server
    server.stop()
    rospy.rostime.set_rostime_initialized(False)


def get(server, path="/", host=None):
    request = urllib.request.Request("http://127.0.0.1:{}{}".format(server.port, path))
    if host:
        request.add_header("Host", host)
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return answer.read().decode(), answer.headers


def test_the_page_and_nothing_else_is_served(web):
    page, found = get(web)
    assert "dashboard.js" in page and "http" not in page.replace("http-equiv", "")
    assert found["X-Frame-Options"] == "DENY" and "script-src 'self'" in found["Content-Security-Policy"]
    for path in ("/dashboard.js", "/charts.js", "/dashboard.css", "/icon.svg"):
        assert get(web, path)[0]
    for path in ("/../server.py", "/%2e%2e/server.py", "/static/dashboard.js", "//etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(web, path)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(web, host="evil.example")


def test_websockets_of_other_pages_are_refused_and_control_is_off(web):
    url = "ws://127.0.0.1:{}/live".format(web.port)

    async def scene():
        with pytest.raises(HTTPClientError, match="403"):
            await websocket_connect(HTTPRequest(url, headers={"Origin": "http://evil.example"}))
        page = await websocket_connect(HTTPRequest(url, headers={"Origin": "http://127.0.0.1:{}".format(web.port)}))
        news = json.loads(await asyncio.wait_for(page.read_message(), WAIT_S))
        assert news["kind"] == "news" and not news["allow_control"] and news["robots"] == []
        for nonsense in ("{", "[]", "3", '{"watch": 1}', '{"strategy": {"robot": 1, "strategy": 2}}', "x" * 100):
            page.write_message(nonsense)
        page.write_message(json.dumps({"strategy": {"robot": "r", "strategy": "local"}}))
        while True:
            answer = json.loads(await asyncio.wait_for(page.read_message(), WAIT_S))
            if answer["kind"] == "answer":
                break
        assert not answer["accepted"] and "allow_control" in answer["reason"]
        page.close()
    asyncio.new_event_loop().run_until_complete(scene())
    assert web.asked == []


def test_a_busy_port_is_named_and_a_stopped_server_frees_its_own(web):
    with pytest.raises(OSError, match="port {}: .*~port".format(web.port)):
        WebServer(Hub(Board(60.0), 60.0, True, lambda node, strategy: {}), "127.0.0.1", web.port)
    web.stop()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", web.port))
