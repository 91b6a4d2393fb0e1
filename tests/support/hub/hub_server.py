"""A server on this machine that speaks the Hub's protocol, and fails where it is told to.

Small files come from the Hub itself, large ones from a second server (its CDN), to which the Hub
sends on: tests see which requests came, with which headers.
"""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
MODEL = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(/(revision|tree)/(?P<revision>[^/]+))?")

FOLDER = {"type": "directory", "path": "onnx", "oid": "0" * 40, "size": 0}


@dataclass
class Repo:
    """A model on the server.

    Attributes:
      commits: commit -> {file: bytes}; the last one is main.
      refs: further branches and tags -> commit.
      large: files that stand in the large storage.
      gated: whether files need a token that was granted access.
      token: that may see it; None for everyone.
    """

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str] = field(default_factory=dict)
    large: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin")
    gated: bool = False
    token: str | None = None

    def commit_of(self, revision: str) -> str | None:
        """Returns the commit that a revision names."""
        main = list(self.commits)[-1]
        return {**{c: c for c in self.commits}, "main": main, **self.refs}.get(revision)

    def is_large(self, name: str) -> bool:
        """Whether a file stands in the large storage."""
        return name in self.large or name.endswith((".safetensors", ".bin"))


@dataclass
class Fault:
    """What goes wrong with requests for a path.

    Attributes:
      path: pattern that the path and query hold.
      status, headers: an answer without a body.
      cut: bytes after which the connection is closed; `reset` closes it hard.
      replace: the body in the place of the right one.
      stall: whether nothing comes at all.
      times: requests that fail; the later ones are answered well.
    """

    path: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    replace: bytes | None = None
    stall: bool = False
    times: int = 1 << 30


@dataclass
class HubServer:
    """The Hub; tests change what it does.

    Attributes:
      repos, datasets: what it holds.
      faults: what goes wrong.
      requests: (method, path, headers in small letters) of what came.
      ranges: whether it sends the rest of a file.
      siblings: whether the description of a model lists its files.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, dict]] = field(default_factory=list)
    address: str = ""
    cdn_address: str = ""
    ranges: bool = True
    siblings: bool = True
    closing: threading.Event = field(default_factory=threading.Event)

    def paths(self, method: str = "GET") -> list[str]:
        """Returns the paths of the requests of a method, without queries."""
        return [urlsplit(path).path for kind, path, _ in self.requests if kind == method]

    def files(self) -> list[str]:
        """Returns the names of the files that were sent, the CDN's too."""
        paths = [path for path in self.paths() if "/resolve/" in path]
        return [RESOLVE.fullmatch(path)["file"] for path in paths]

    def fault_of(self, path: str) -> Fault | None:
        """Returns what goes wrong with this request, and counts it."""
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None


@contextmanager
def hub_server(**repos: Repo) -> Iterator[HubServer]:
    """Runs the Hub and its CDN on two ports of this machine."""
    hub = HubServer(dict(repos))
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, kind)) for kind in (_Hub, _Cdn)]
    hub.address, hub.cdn_address = (f"http://127.0.0.1:{s.server_address[1]}" for s in servers)
    threads = [threading.Thread(target=s.serve_forever, args=(0.02,)) for s in servers]
    for server, thread in zip(servers, threads):
        server.daemon_threads = True
        thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        for server, thread in zip(servers, threads):
            server.shutdown()
            thread.join()
            server.server_close()


def git_sha1(data: bytes) -> str:
    """Returns the object id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _handler(hub, kind):
    return type("Handler", (kind,), {"hub": hub})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._handle()

    def do_GET(self):
        self._handle()

    def _handle(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, self.path, headers))
        self.fault = self.hub.fault_of(f"{self.command} {self.path}")
        if self.fault and self.fault.stall:
            self.hub.closing.wait(30)
            self.close_connection = True
        elif self.fault and self.fault.status:
            self._send(self.fault.status, b"", self.fault.headers)
        else:
            self._answer(urlsplit(self.path))

    def _send(self, status, body, headers=()):
        fault = self.fault
        if fault and fault.replace is not None:
            body = fault.replace
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.cut is not None and fault.cut < len(body):
            body = body[: fault.cut]
            self.close_connection = True
        try:
            self.wfile.write(body)
        except OSError:
            return
        if fault and fault.reset:
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def _send_file(self, data, headers):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None or not self.hub.ranges:
            return self._send(200, data, headers)
        first = int(wanted[1])
        span = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
        return self._send(206, data[first:], headers | span)

    def _refuse(self, status, code="", message=""):
        headers = {"X-Error-Message": message, "X-Error-Code": code}
        body = json.dumps({"error": message}).encode()
        self._send(status, body, {name: value for name, value in headers.items() if value})

    def _token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


def _entry(repo, name, data):
    """Describes a file as the Hub does, for a description of a model and for a list."""
    oid = git_sha1(data)
    entry = {"type": "file", "rfilename": name, "path": name, "size": len(data)}
    entry |= {"oid": oid, "blobId": oid}
    if repo.is_large(name):
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"sha256": sha256, "oid": sha256, "size": len(data), "pointerSize": 134}
    return entry


class _Hub(_Handler):
    def _answer(self, address):
        path, query = address.path, parse_qs(address.query)
        if path == "/api/models":
            owner = query.get("author", [""])[0]
            names = [name for name in self.hub.repos if name.startswith(f"{owner}/")]
            return self._send(200, json.dumps([{"id": name} for name in names]).encode())
        if path.startswith("/api/datasets/"):
            name = path.removeprefix("/api/datasets/")
            if name in self.hub.datasets:
                return self._send(200, json.dumps({"id": name, "sha": "0" * 40}).encode())
            return self._refuse(404, "RepoNotFound", "Repository not found")
        match = RESOLVE.fullmatch(path) or MODEL.fullmatch(path)
        if match is None:
            return self._refuse(404, "", "Sorry, we can't find the page you are looking for.")
        repo = self.hub.repos.get(match["repo"])
        if repo is None or (repo.token and self._token() != repo.token):
            status = 404 if self._token() else 401
            return self._refuse(status, "RepoNotFound", "Invalid username or password.")
        commit = repo.commit_of(unquote(match["revision"] or "main"))
        if commit is None:
            return self._refuse(404, "RevisionNotFound", "Invalid rev id")
        if "file" in match.groupdict():
            return self._resolve(repo, match["repo"], commit, unquote(match["file"]))
        files = [_entry(repo, *item) for item in repo.commits[commit].items()]
        described = {"id": match["repo"], "sha": commit, "gated": repo.gated}
        if self.hub.siblings:
            described["siblings"] = files
        answer = [*files, FOLDER] if "/tree/" in path else described
        return self._send(200, json.dumps(answer).encode())

    def _resolve(self, repo, name, commit, file):
        headers = {"X-Repo-Commit": commit}
        if repo.gated and self._token() != "hf_granted":
            message = f"Access to model {name} is restricted."
            return self._refuse(403 if self._token() else 401, "GatedRepo", message)
        if file not in repo.commits[commit]:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        data = repo.commits[commit][file]
        if not repo.is_large(file):
            return self._send_file(data, headers | {"ETag": f'"{git_sha1(data)}"'})
        sha256 = hashlib.sha256(data).hexdigest()
        headers |= {
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{self.hub.cdn_address}/{sha256}",
        }
        return self._send(302, b"", headers)


class _Cdn(_Handler):
    def _answer(self, address):
        for repo in self.hub.repos.values():
            for files in repo.commits.values():
                for data in files.values():
                    if hashlib.sha256(data).hexdigest() == address.path[1:]:
                        return self._send_file(data, {"ETag": '"of the storage"'})
        return self._refuse(404)
