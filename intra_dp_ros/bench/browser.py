"""A real headless Chromium, driven over its DevTools' websocket: for tests of web pages and pictures of them."""
import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from typing import Any, Dict, List, Optional

from tornado.websocket import websocket_connect

_START_S, _ANSWER_S = 40.0, 20.0


class BrowserError(RuntimeError):
    """The browser does not start, does not answer, or a page is not as it should be."""


def find_browser() -> Optional[str]:
    """Chromium's path, or None. A snap (Ubuntu) does not count: it cannot see the folder that it is given."""
    for name in ("chromium", "google-chrome"):
        path = shutil.which(name)
        if path is not None and "snap" not in os.path.realpath(path):
            return path
    return None


class Browser:
    """One page.

    Args:
        width, height: of the window [pixel].

    Attributes:
        requests: addresses of everything the page asked for.
        errors: what went wrong in it: exceptions, what it refused, what its console calls an error.

    Raises:
        BrowserError: there is none, or it does not start.
    """

    def __init__(self, width: int = 1280, height: int = 1180) -> None:
        self.requests: List[str] = []
        self.errors: List[str] = []
        self._number = 0
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        path = find_browser()
        if path is None:
            raise BrowserError("there is no Chromium outside a snap: install the package chromium, or google-chrome")
        self._folder = tempfile.mkdtemp(prefix="chromium_")
        self._process = subprocess.Popen(
            [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
             "--user-data-dir=" + self._folder, "--window-size={},{}".format(width, height),
             "--remote-debugging-port=0", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._socket = self._run(websocket_connect(self._target(), max_message_size=1 << 26))
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(domain + ".enable")
        except BaseException:
            self.close()
            raise

    def open(self, url: str) -> None:
        """Go there."""
        self.call("Page.navigate", url=url)

    def look(self, width: int, height: int, is_dark: bool = False) -> None:
        """The size of what is seen of a page [pixel], and whether it is to be light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError("{}: {}".format(expression, found["exceptionDetails"]))
        return found["result"].get("value")

    def until(self, expression: str, what: str, seconds: float) -> None:
        """Wait until an expression is true; while what it speaks of is not there yet, it is not."""
        end = time.monotonic() + seconds
        patient = "(() => {{ try {{ return {}; }} catch (error) {{ return false; }} }})()".format(expression)
        while not self.evaluate(patient):
            if time.monotonic() > end:
                raise BrowserError("{} did not happen within {:.0f} s: {} is false; errors {}; the page says:\n{}"
                                   .format(what, seconds, expression, self.errors,
                                           self.evaluate("document.body.innerText")))
            time.sleep(0.1)

    def screenshot(self, path: str, quality: int = 75) -> None:
        """The whole page, as PNG, or as JPEG of this quality where `path` ends so."""
        kind: Dict[str, Any] = {"format": "jpeg", "quality": quality} if path.endswith(".jpg") else {"format": "png"}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, **kind)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def call(self, method: str, **params: Any) -> Dict[str, Any]:
        """A command of the DevTools protocol."""
        self._number += 1
        return self._run(self._call(self._number, method, params))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, _ANSWER_S))

    async def _call(self, number: int, method: str, params: Dict[str, Any]) -> Dict[str, Any]:
        await self._socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            text = await self._socket.read_message()
            if text is None:
                raise BrowserError("the browser closed the connection")
            message = json.loads(text)
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError("{}: {}".format(method, message["error"]))
                return message["result"]
            self._note(message)

    def _note(self, message: Dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(params["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(str(params["args"]))

    def _target(self) -> str:
        """The websocket of the only page."""
        end, port = time.monotonic() + _START_S, os.path.join(self._folder, "DevToolsActivePort")
        while True:
            try:
                with open(port, encoding="ascii") as file:
                    number = int(file.readline())
                with urllib.request.urlopen("http://127.0.0.1:{}/json/list".format(number), timeout=5.0) as answer:
                    return next(t for t in json.load(answer) if t["type"] == "page")["webSocketDebuggerUrl"]
            except (OSError, ValueError, StopIteration):
                if time.monotonic() > end or self._process.poll() is not None:
                    raise BrowserError("Chromium did not start within {:.0f} s".format(_START_S)) from None
                time.sleep(0.1)
