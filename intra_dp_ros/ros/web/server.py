"""The web server: four files and a websocket, on a thread of its own.

Threading: `start` and `stop` are called by one thread; everything else runs on the server's.
"""
import asyncio
import os
import socket
import threading
from typing import Any, Dict, List, Optional, Tuple

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from intra_dp_ros.ros.web.guard import Guard, headers
from intra_dp_ros.ros.web.hub import NEWS_PERIOD_S, Hub

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
_FILES = {"/": ("index.html", "text/html"), "/dashboard.js": ("dashboard.js", "text/javascript"),
          "/charts.js": ("charts.js", "text/javascript"), "/dashboard.css": ("dashboard.css", "text/css"),
          "/icon.svg": ("icon.svg", "image/svg+xml")}
_MOST_ASKED = 4096  # length of a message from a browser [byte]
_SEND_BUFFER = 1 << 18  # of the system for each browser [byte]; what waits in it is old
_PING_S = 15.0
_STOP_S = 5.0


class WebServer:
    """Listens at once, answers from `start` on.

    Args:
        hub: of the browsers.
        address: to listen on, or a name of it.
        port: 0: any that is free.

    Attributes:
        port: that is listened on.

    Raises:
        OSError: it cannot listen there, or the page's files are not installed; names the remedy.
    """

    def __init__(self, hub: Hub, address: str, port: int) -> None:
        self._hub = hub
        files = _read_files()
        self._sockets = _listen(address, port)
        self.port = self._sockets[0].getsockname()[1]
        guard = {"guard": Guard(address)}
        self._application = Application(
            [("/live", _Live, {"hub": hub, **guard}), (".*", _Files, {"files": files, **guard})],
            websocket_max_message_size=_MOST_ASKED, websocket_ping_interval=_PING_S, log_function=lambda handler: None)
        self._loop: Optional[IOLoop] = None
        self._http: Optional[HTTPServer] = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Answer."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close all connections, free the port."""
        if self._thread.is_alive():
            self._loop.add_callback(self._shut)
            self._thread.join(timeout=_STOP_S)
        for listening in self._sockets:
            listening.close()

    def _run(self) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        loop = self._loop = IOLoop.current()
        self._hub.bind(loop)
        self._http = HTTPServer(self._application, idle_connection_timeout=60.0, max_header_size=16384,
                                max_body_size=_MOST_ASKED)
        self._http.add_sockets(self._sockets)
        PeriodicCallback(self._hub.tick, NEWS_PERIOD_S * 1e3).start()
        self._ready.set()
        loop.start()
        loop.close(all_fds=True)

    async def _shut(self) -> None:
        self._http.stop()
        await self._hub.close()
        await self._http.close_all_connections()
        self._loop.stop()


class _Guarded(RequestHandler):
    """Refuses whoever asks for another machine's page."""

    def prepare(self) -> None:
        self.host = self.guard.host(self.request.headers.get("Host"))
        if not self.host:
            raise HTTPError(403)
        for name, value in headers(self.host).items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("{} {}\n".format(status_code, self._reason))


class _Files(_Guarded):
    """The page's files, from memory: no path of a request ever reaches the file system."""

    def initialize(self, files: Dict[str, Tuple[str, bytes]], guard: Guard) -> None:
        self.files, self.guard = files, guard

    def get(self) -> None:
        found = self.files.get(self.request.path)
        if found is None:
            raise HTTPError(404)
        self.set_header("Content-Type", found[0])
        self.finish(found[1])

    head = get


class _Live(_Guarded, WebSocketHandler):
    """A page's connection, see `Hub`."""

    def initialize(self, hub: Hub, guard: Guard) -> None:
        self.hub, self.guard = hub, guard

    def check_origin(self, origin: str) -> bool:
        return self.guard.origin(origin, self.host)

    def open(self) -> None:
        self.set_nodelay(True)
        self.ws_connection.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if not self.hub.join(self, self._send, self.request.remote_ip):
            self.close(1013, "too many pages are open")

    async def _send(self, message: Any) -> None:
        await self.write_message(message, binary=isinstance(message, bytes))

    def on_message(self, message: Any) -> None:
        self.hub.hear(self, message)

    def on_close(self) -> None:
        self.hub.leave(self)


def _read_files() -> Dict[str, Tuple[str, bytes]]:
    out = {}
    for path, (name, kind) in _FILES.items():
        with open(os.path.join(_FOLDER, name), "rb") as file:
            out[path] = kind + ("; charset=utf-8" if kind.startswith("text/") else ""), file.read()
    return out


def _listen(address: str, port: int) -> List[socket.socket]:
    try:
        return bind_sockets(port, address)
    except OSError as error:
        raise OSError("cannot listen on {}, port {}: {}; set ~address and ~port to what is free on this machine".format(
            address, port, error.strerror or error)) from None
