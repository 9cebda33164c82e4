"""The page on which an agent is asked: a small web server for one reader, on the loopback interface alone.

    GET  /            the page          GET /ask.js, /ask.css   what it is made of
    GET  /world.json  the world, also with ?start=x,y
    POST /ask         {"question", "region"?, "start"?} to an answer

It answers requests whose Host is its own address, so that no name of another site that resolves to 127.0.0.1 (DNS
rebinding) gets at it, and refuses requests that another site's page sends. Nothing is looked up in the file system by
the request's path. Every connection has one request and a limit of time, every body one of size.
"""

import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, NamedTuple

from theodolite.core.errors import UserError
from theodolite.interpret import asking
from theodolite.interpret.asking import Cell, Subject

ADDRESS, PORT = "127.0.0.1", 8317
LARGEST_BODY, LARGEST_REGION = 20_000, 1_000
SECONDS, CONNECTIONS = 10.0, 16
"""For a request to arrive and for its answer to leave, and how many may be open at a time."""
DRAIN_S, DRAIN_BYTES = 0.5, 1_000_000
"""How long, and how much, is taken of a body that was refused."""
ASSETS = {"/": ("ask.html", "text/html"), "/ask.js": ("ask.js", "text/javascript"), "/ask.css": ("ask.css", "text/css")}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip


class Refused(Exception):  # noqa: N818 (it is a reply)
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.headers = status, headers


class Reply(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    kind: str
    body: bytes


class Server(ThreadingHTTPServer):
    """Serves one subject until it is shut down."""

    daemon_threads = True
    request_queue_size = 2 * CONNECTIONS

    def __init__(self, subject: Subject, port: int = PORT, seconds: float = SECONDS) -> None:
        self.subject, self.seconds = subject, seconds
        self._open = threading.BoundedSemaphore(CONNECTIONS)
        self._answering = threading.Lock()  # one answer at a time: the machine is the reader's own
        try:
            super().__init__((ADDRESS, port), Handler)
        except OverflowError:
            raise UserError(f"port = {port}: must lie between 0 and 65535; 0 takes any free one.") from None
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used ({error.strerror or error}): another program may have it. Choose another "
                "with --port; --port 0 takes any free one."
            ) from None
        names = [ADDRESS, "localhost"]
        self.hosts = {f"{name}:{self.port}" for name in names} | ({*names} if self.port == 80 else set())

    @property
    def port(self) -> int:
        """The port in use."""
        return self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.port}/"

    def server_bind(self) -> None:
        """Bind without looking the machine's name up, which may ask the network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, unless there are too many."""
        if not self._open.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who has left is no error; anything else was answered."""

    def answer(self, question: str, region: list[Cell], start: Cell | None) -> dict[str, Any]:
        """The answer as data."""
        with self._answering:
            return asking.answer_json(asking.ask(self.subject, question, region, start))

    def until_interrupted(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until Ctrl-C."""
        try:
            ready()
            self.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            self.server_close()


class _Limited(io.RawIOBase):
    """What arrives on a socket until a deadline, however slowly."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Any  # a Server; the base class's annotation is wider, and may not be narrowed
    server_version, sys_version = "theodolite", ""
    _unread = False

    def setup(self) -> None:
        """Read with a deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Limited(self.connection, time.monotonic() + self.server.seconds))

    def handle(self) -> None:
        """A reader who leaves, or says nothing in time, ends the connection."""
        try:
            self.handle_one_request()
            if self._unread:
                self._drain()
        except OSError:
            self.close_connection = True

    def _drain(self) -> None:
        """Take what is still under way: closing before that would reset the connection, and the reply with it."""
        self.connection.shutdown(socket.SHUT_WR)
        until, left = time.monotonic() + DRAIN_S, DRAIN_BYTES
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            self.connection.settimeout(seconds)
            got = len(self.connection.recv(65_536))
            left = left - got if got else 0

    def do_GET(self) -> None:
        """Serve the page, its parts, and the world."""
        self._reply(self._get)

    def do_POST(self) -> None:
        """Answer a question."""
        self._reply(self._post)

    def _get(self) -> Reply:
        path = self._path()
        if path == "/world.json":
            return self._world()
        if path not in ASSETS:
            raise _lost(path, "GET", ("/ask",))
        name, kind = ASSETS[path]
        return Reply(HTTPStatus.OK, kind, (resources.files("theodolite.interpret") / "assets" / name).read_bytes())

    def _world(self) -> Reply:
        query = self.path.partition("?")[2]
        found = re.fullmatch(r"(?:start=([0-9]{1,3}),([0-9]{1,3}))?", query)
        if found is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "expected /world.json, or /world.json?start=x,y.")
        subject = self.server.subject
        if query:
            subject = _understood(asking.started, subject, (int(found[1]), int(found[2])))
        return _json(asking.world_json(subject))

    def _post(self) -> Reply:
        path = self._path()
        if path != "/ask":
            raise _lost(path, "POST", (*ASSETS, "/world.json"))
        kind = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json.")
        asked = read_question(self._body())
        return _json(_understood(self.server.answer, *asked))

    def _path(self) -> str:
        """The path, of a request that comes from the reader's own page or hand."""
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, f"this is {self.server.url} and answers to no other Host.")
        site = self.headers.get("Sec-Fetch-Site", "none")
        own = f"http://{hosts[0].lower()}"
        if any(origin.lower() != own for origin in origins) or site not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, f"a page of another site may not use {self.server.url}.")
        return self.path.partition("?")[0]

    def _body(self) -> bytes:
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1 or not lengths[0].isascii():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the body must come with one Content-Length.")
        if not lengths[0].isdecimal() or len(lengths[0]) > 18:
            raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length must be a whole number.")
        length = int(lengths[0])
        if length > LARGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {LARGEST_BODY:,} bytes at most.")
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"no body within {self.server.seconds:g} seconds.") from None
        if len(body) < length:
            raise Refused(HTTPStatus.BAD_REQUEST, f"the body ended after {len(body)} of {length} bytes.")
        return body

    def _reply(self, find: Callable[[], Reply]) -> None:
        extra: dict[str, str] = {}
        try:
            reply = find()
        except Refused as refused:
            reply, extra = _json({"error": str(refused)}, refused.status), refused.headers
            self._unread = True
        except Exception:  # whatever goes wrong, the reader is told that it did, and the server goes on
            reply = _json({"error": "the answer failed; this is an error of ours."}, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(reply, extra)

    def _send(self, reply: Reply, extra: dict[str, str]) -> None:
        self.connection.settimeout(self.server.seconds)
        self.close_connection = True
        self.request_version = self.protocol_version  # also to who spoke none, or an older one without status lines
        self.send_response(reply.status)
        about = {"Content-Type": f"{reply.kind}; charset=utf-8", "Content-Length": str(len(reply.body))}
        for name, value in {**about, **HEADERS, **extra, "Connection": "close"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What `http.server` itself refuses: a request that is none, or a method that is not served."""
        status, self._unread = HTTPStatus(code), True
        if status == HTTPStatus.NOT_IMPLEMENTED:
            refused = Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and POST are served.", Allow="GET, POST")
            self._send(_json({"error": str(refused)}, refused.status), refused.headers)
        else:
            self._send(_json({"error": status.phrase}, status), {})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the reader's."""


def _understood(find: Callable[..., Any], *asked: Any) -> Any:
    """What is found, or what the user can mend as a reply."""
    try:
        return find(*asked)
    except UserError as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None


def read_question(body: bytes) -> tuple[str, list[Cell], Cell | None]:
    """The question, the region and the start of a request.

    Raises:
        Refused: the body is not what is expected.
    """
    wrong = partial(Refused, HTTPStatus.BAD_REQUEST)
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise wrong("the body is not JSON in UTF-8.") from None
    if not isinstance(found, dict) or not {"question"} <= found.keys() <= {"question", "region", "start"}:
        raise wrong('expected {"question": text} and, if wanted, "region": [[x, y], ...] and "start": [x, y].')
    question, region, start = found["question"], found.get("region") or [], found.get("start")
    if not isinstance(question, str):
        raise wrong("the question must be text.")
    if not isinstance(region, list) or len(region) > LARGEST_REGION or not all(map(_is_cell, region)):
        raise wrong(f"the region must be a list of at most {LARGEST_REGION:,} cells [x, y].")
    if start is not None and not _is_cell(start):
        raise wrong("the start must be a cell [x, y].")
    return question, [(x, y) for x, y in region], None if start is None else (start[0], start[1])


def _is_cell(found: object) -> bool:
    return isinstance(found, list) and len(found) == 2 and all(type(v) is int and 0 <= v < 1_000 for v in found)


def _no_number(word: str) -> None:
    raise ValueError(word)


def _json(found: object, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return Reply(status, "application/json", json.dumps(found, allow_nan=False).encode())


def _lost(path: str, method: str, others: tuple[str, ...]) -> Refused:
    if path in others:
        allowed = "POST" if method == "GET" else "GET"
        return Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} is for {allowed} alone.", Allow=allowed)
    return Refused(HTTPStatus.NOT_FOUND, f"there is nothing at this path: {', '.join(ASSETS)}, /world.json and /ask.")
