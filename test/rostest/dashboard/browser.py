"""A real headless Chromium, driven over its DevTools' websocket."""
import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

from tornado.websocket import websocket_connect

START_S, ANSWER_S = 40.0, 20.0


def find():
    """Chromium's path, or None. A snap (Ubuntu) does not count: it cannot see the folder that it is given."""
    for name in ("chromium", "google-chrome"):
        path = shutil.which(name)
        if path is not None and "snap" not in os.path.realpath(path):
            return path
    return None


class Browser:
    """One page.

    Attributes:
        requests: addresses of everything the page asked for.
        errors: what went wrong in it: exceptions, what it refused, what its console calls an error.
    """

    def __init__(self, width=1280, height=1180):
        self.requests, self.errors = [], []
        self._number = 0
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._folder = tempfile.mkdtemp(prefix="chromium_")
        self._process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
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

    def open(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        """The value of a JavaScript expression; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError("{}: {}".format(expression, found["exceptionDetails"]))
        return found["result"].get("value")

    def until(self, expression, what, seconds):
        """Wait until an expression is true; while what it speaks of is not there yet, it is not."""
        end = time.monotonic() + seconds
        patient = "(() => {{ try {{ return {}; }} catch (error) {{ return false; }} }})()".format(expression)
        while not self.evaluate(patient):
            if time.monotonic() > end:
                raise AssertionError("{} did not happen within {:.0f} s: {} is false; errors {}; the page says:\n{}"
                                     .format(what, seconds, expression, self.errors,
                                             self.evaluate("document.body.innerText")))
            time.sleep(0.1)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def call(self, method, **params):
        """A command of the DevTools protocol."""
        self._number += 1
        return self._run(self._call(self._number, method, params))

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, coroutine):
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, ANSWER_S))

    async def _call(self, number, method, params):
        await self._socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            text = await self._socket.read_message()
            if text is None:
                raise AssertionError("the browser closed the connection")
            message = json.loads(text)
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError("{}: {}".format(method, message["error"]))
                return message["result"]
            self._note(message)

    def _note(self, message):
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

    def _target(self):
        """The websocket of the only page."""
        end, port = time.monotonic() + START_S, os.path.join(self._folder, "DevToolsActivePort")
        while True:
            try:
                with open(port, encoding="ascii") as file:
                    number = int(file.readline())
                with urllib.request.urlopen("http://127.0.0.1:{}/json/list".format(number), timeout=5.0) as answer:
                    return next(t for t in json.load(answer) if t["type"] == "page")["webSocketDebuggerUrl"]
            except (OSError, ValueError, StopIteration):
                if time.monotonic() > end or self._process.poll() is not None:
                    raise AssertionError("Chromium did not start within {:.0f} s".format(START_S)) from None
                time.sleep(0.1)
