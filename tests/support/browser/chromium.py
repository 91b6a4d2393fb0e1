"""Chromium without a window, driven through its DevTools protocol, and servers for its pages."""

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROGRAM = "chromium"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip
PATIENCE = 300


def needed() -> None:
    """Skips the test where there is no Chromium."""
    import pytest

    if not shutil.which(PROGRAM):
        pytest.skip("chromium is not installed: `make page-tools` installs it")


class Served:
    """A folder, served as `python -m http.server` does; `paths` are those that were asked for."""

    def __init__(self, folder: Path):
        self.paths: list[str] = []
        handler = partial(_Handler, directory=str(folder), paths=self.paths)
        self._server = ThreadingHTTPServer(("localhost", 0), handler)
        self.address = f"http://localhost:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments, paths, **keywords):
        self._paths = paths
        super().__init__(*arguments, **keywords)

    def send_head(self):
        self._paths.append(self.path)
        return super().send_head()

    def copyfile(self, source, outputfile):
        with suppress(ConnectionError):  # a worker that was ended asks no further
            super().copyfile(source, outputfile)

    def log_message(self, *_):
        """Says nothing."""


class Chromium:
    """A browser with one tab. Commands go to file descriptor 3, answers come from 4."""

    def __init__(self, folder: Path):
        self._folder = folder
        command_read, self._commands = os.pipe()
        self._answers, answer_write = os.pipe()
        # The child has them as 3 and 4, whatever their numbers are here.
        script = f"exec 3<&{command_read} 4>&{answer_write}; exec {PROGRAM} {' '.join(FLAGS)} "
        self._process = subprocess.Popen(
            ["bash", "-c", f"{script} --user-data-dir={folder / 'profile'} about:blank"],
            pass_fds=(command_read, answer_write),
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        self._number, self._pending = 0, b""
        self.workers: list[str] = []
        self.problems: list[str] = []
        target = self._first_page()
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._page = attached["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.on_page(f"{domain}.enable")
        self.on_page(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True
        )
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def close(self) -> None:
        """Ends the browser."""
        self.call("Browser.close")
        self._process.wait(timeout=60)
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        """Sends a command and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._heed(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def on_page(self, method: str, **parameters) -> dict:
        """Sends a command for the tab."""
        return self.call(method, self._page, **parameters)

    def open(self, address: str, width: int = 1200, height: int = 900) -> None:
        """Opens a page, and waits until its modules have run."""
        self.on_page(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=False,
        )  # fmt: skip
        self.on_page("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && document.getElementById('seed')")

    def evaluate(self, expression: str, session: str | None = None):
        """Returns the value of an expression, of a promise what it leads to."""
        result = self.call(
            "Runtime.evaluate", session or self._page, expression=expression, awaitPromise=True,
            returnByValue=True,
        )  # fmt: skip
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression}: not in {PATIENCE} s; {self.problems}"
            time.sleep(0.05)

    def choose(self, element: str, *paths: Path) -> None:
        """Chooses files of an element."""
        root = self.on_page("DOM.getDocument")["root"]["nodeId"]
        node = self.on_page("DOM.querySelector", nodeId=root, selector=f"#{element}")["nodeId"]
        self.on_page("DOM.setFileInputFiles", nodeId=node, files=list(map(str, paths)))

    def fill(self, **values) -> None:
        """Fills fields."""
        for element, value in values.items():
            self.evaluate(f"document.getElementById('{element}').value = {json.dumps(str(value))}")

    def click(self, element: str) -> None:
        """Clicks an element."""
        self.evaluate(f"document.getElementById('{element}').click()")

    def text(self, element: str) -> str:
        """Returns what an element shows, nothing where it is hidden."""
        shown = f"document.getElementById('{element}')"
        return self.evaluate(f"{shown}.hidden ? '' : {shown}.innerText")

    def downloaded(self, name: str) -> Path:
        """Waits for a download; returns the file."""
        path, end = self._folder / name, time.monotonic() + PATIENCE
        while not path.exists() or path.with_name(f"{name}.crdownload").exists():
            assert time.monotonic() < end
            self.evaluate("0")
            time.sleep(0.05)
        return path

    def picture(self, path: Path, dark: bool = False) -> None:
        """Writes a picture of the whole page."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.on_page("Emulation.setEmulatedMedia", features=scheme)
        shot = self.on_page("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _first_page(self) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    return target["targetId"]
            time.sleep(0.05)
        raise AssertionError("no tab")

    def _heed(self, event: dict) -> None:
        """Notes workers, and what the page complains of."""
        parameters = event.get("params", {})
        if event.get("method") == "Target.attachedToTarget":
            if parameters["targetInfo"]["type"] == "worker":
                self.workers.append(parameters["sessionId"])
        elif event.get("method") == "Log.entryAdded":
            self.problems.append(parameters["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"])[:1000])

    def _next(self) -> dict:
        while b"\0" not in self._pending:
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser ended"
            self._pending += data
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)
