"""The server answers its own page and nobody else, whatever arrives on the wire."""

import http.client
import json
import socket
import threading
import time

import pytest
from serving import serving, subject

from theodolite.core.errors import UserError
from theodolite.interpret import asking_server
from theodolite.interpret.asking_server import Server

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server():
    with serving(subject("ten"), seconds=0.6) as found:
        yield found


def request(server, method, path, body=None, headers=None):
    """Status, headers and body of a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    found = reply.status, reply.headers, reply.read()
    connection.close()
    return found


def ask(server, body, headers=None):
    """Status and data of an answer."""
    sent = body if isinstance(body, bytes | str) else json.dumps(body)
    status, _, data = request(server, "POST", "/ask", sent, JSON | (headers or {}))
    return status, json.loads(data)


def wire(server, sent: bytes, pause: float = 0.0, end: bool = False) -> bytes:
    """All that comes back for bytes on a socket; with a pause they go one at a time."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
        try:
            for part in [sent] if not pause else [sent[i : i + 1] for i in range(len(sent))]:
                s.sendall(part)
                time.sleep(pause)
            if end:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up
        found = b""
        try:
            while part := s.recv(65_536):
                found += part
        except ConnectionResetError:
            pass
        return found


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1]) if reply else 0


def test_the_page_and_its_parts_are_served_with_strict_headers(server):
    for path, kind in (("/", "text/html"), ("/ask.js", "text/javascript"), ("/ask.css", "text/css")):
        status, headers, body = request(server, "GET", path)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert len(body) == int(headers["Content-Length"]) > 1_000
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers.get("Access-Control-Allow-Origin") is None
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_an_answer_is_that_of_the_command_line(server):
    asked = {"question": "why not right until wall?", "region": [[1, 0], [2, 0]], "start": None}
    status, found = ask(server, asked)
    assert status == 200
    assert found["text"].startswith("At (0, 0) I go up.\nWhat you propose: right until the wall")
    assert found["tracks"][1][-1] == {"cell": [5, 0], "monster": None, "event": "fall into a trap", "action": ""}
    assert found["return_foil"] == pytest.approx(sum(r[3] for r in found["rows"]) + found["return_fact"])
    status, found = ask(server, {"question": "why not avoid the region?", "region": [[0, 3]], "start": [0, 2]})
    assert found["cell"] == [0, 2]
    assert [0, 3] not in [step["cell"] for step in found["tracks"][1]]
    world = json.loads(request(server, "GET", "/world.json?start=9,0")[2])
    assert world["start"] == world["path"][0]["cell"] == [9, 0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"question": "why not rihgt?"}, "perhaps right"),
        ({"question": "why not up in the region?"}, "no region is marked"),
        ({"question": "why not up?", "region": [[5, 0]]}, "the cell (5, 0) is a trap"),
        ({"question": "why not up?", "region": [[50, 0]]}, "off the map"),
        ({"question": "why not up?", "start": [1, 1]}, "cannot start at (1, 1)"),
        ({"question": "why not up at (9, 0)?"}, "never come to be at (9, 0)"),
        ({"question": "why not up " + 400 * "x"}, "at most 300"),
        ({"question": "why not " + "up then " * 20 + "up?"}, "at most 12"),
        ({"question": "why not up ² times?"}, "cannot follow"),
        ({"question": "why not \ud800?"}, "action is expected"),
        ({"question": ""}, "begins with why"),
    ],
)
def test_what_the_asker_can_mend_is_said_in_the_same_sentences(server, body, said):
    status, found = ask(server, body)
    assert (status, found.keys()) == (422, {"error"})
    assert said in found["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b"null", b"[]", b'"why"', b"{}", b'{"question": 3}', b'{"question": "why", "other": 1}',
        b'{"question": "why", "region": "all"}', b'{"question": "why", "region": [[1]]}',
        b'{"question": "why", "region": [[true, false]]}', b'{"question": "why", "region": [[1.5, 2]]}',
        b'{"question": "why", "region": [[-1, 2]]}', b'{"question": "why", "region": [[1e400, 2]]}',
        b'{"question": "why", "start": [NaN, 0]}', b'{"question": "why", "start": [99999999999999999999, 0]}',
        b'{"question": "why", "start": 3}', b"[" * 15_000,
        b'{"question": "why", "region": [' + b"[1,1]," * 1_001 + b"[1,1]]}",
    ],
)  # fmt: skip
def test_bodies_of_another_form_are_refused(server, body):
    status, found = ask(server, body)
    assert (status, found.keys()) == (400, {"error"})


def test_other_hosts_are_refused(server):
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", "127.0.0.1:1", "", f"[::1]:{server.port}"):
        for method, path in (("GET", "/"), ("GET", "/world.json"), ("POST", "/ask")):
            status, _, body = request(server, method, path, b'{"question": "why not up?"}', {"Host": host, **JSON})
            assert status == 421, host
            assert b"Host" in body
    assert request(server, "GET", "/", headers={"Host": f"LocalHost:{server.port}"})[0] == 200
    own = f"127.0.0.1:{server.port}".encode()
    assert status_of(wire(server, b"GET / HTTP/1.1\r\n\r\n")) == 421
    assert status_of(wire(server, b"GET / HTTP/1.1\r\nHost: " + own + b"\r\nHost: evil.example\r\n\r\n")) == 421
    assert status_of(wire(server, b"GET http://evil.example/ HTTP/1.1\r\nHost: " + own + b"\r\n\r\n")) == 404


def test_other_origins_are_refused(server):
    body = {"question": "why not up?"}
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{server.port}", "http://127.0.0.1:1"):
        assert ask(server, body, {"Origin": origin})[0] == 403
        assert request(server, "GET", "/world.json", headers={"Origin": origin})[0] == 403
    assert ask(server, body, {"Origin": f"http://localhost:{server.port}"})[0] == 403  # another name than the Host's
    for site in ("cross-site", "same-site"):
        assert ask(server, body, {"Sec-Fetch-Site": site})[0] == 403
    assert ask(server, body, {"Origin": server.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"})[0] == 200


def test_nothing_else_is_served(server):
    for path in (
        "/index.html", "/ask.html", "/../asking.py", "/..%2fasking.py", "/assets/ask.js", "/ask.js/", "/%2e%2e/",
        "/etc/passwd", "//etc/passwd", "/ask.js%00", "/.", "/./ask.js", "/world.jso", "/favicon.ico", "*",
    ):  # fmt: skip
        assert request(server, "GET", path)[0] == 404, path
        assert request(server, "POST", path, b"{}", JSON)[0] == 404, path
    for query in ("start=1", "start=a,b", "start=1,2&x=3", "x", "start=1,2%00", "start=1111,2"):
        assert request(server, "GET", f"/world.json?{query}")[0] == 400
    assert request(server, "GET", "/world.json?start=1,1")[0] == 422
    status, headers, _ = request(server, "GET", "/ask")
    assert (status, headers["Allow"]) == (405, "POST")
    status, headers, _ = request(server, "POST", "/", b"{}", JSON)
    assert (status, headers["Allow"]) == (405, "GET")
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "HEAD", "BREW"):
        status, headers, _ = request(server, method, "/")
        assert (status, headers["Allow"]) == (405, "GET, POST")


def test_bodies_need_a_type_and_a_length_within_bounds(server):
    body = b'{"question": "why not up?"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert request(server, "POST", "/ask", body, {"Content-Type": kind})[0] == 415
    head = f"POST /ask HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n".encode()
    for line, status in (
        (b"", 411), (b"Transfer-Encoding: chunked\r\n", 411), (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 2\r\nContent-Length: 27\r\n", 411), (b"Content-Length: \xb2\r\n", 411),
        (b"Content-Length: 1e3\r\n", 400), (b"Content-Length: 99999999999999999999\r\n", 400),
        (b"Content-Length: 20001\r\n", 413), (b"Content-Length: 27\r\nTransfer-Encoding: chunked\r\n", 411),
    ):  # fmt: skip
        assert status_of(wire(server, head + line + b"\r\n" + body)) == status, line
    assert status_of(wire(server, head + b"Content-Length: 400000\r\n\r\n" + b" " * 400_000)) == 413
    assert status_of(wire(server, head + b"Content-Length: 27\r\n\r\n" + body[:9], end=True)) == 400


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02\xff\r\n\r\n", 400), (b"\r\n\r\n", 0), (b"GET\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET / SPDY\r\n\r\n", 400), (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 421), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
        (b"", 0),
    ],
)  # fmt: skip
def test_what_is_no_request_is_survived(server, sent, status, capfd):
    assert status_of(wire(server, sent, end=True)) == status
    assert request(server, "GET", "/")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_who_sends_slowly_is_cut_off_and_holds_nobody_up(server):
    head = f"POST /ask HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n".encode()
    begun, replies = time.monotonic(), []

    def send(sent, pause):
        replies.append(status_of(wire(server, sent, pause)))

    slow = [
        threading.Thread(target=send, args=(b"GET / HTTP/1.1\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", 0.05)),
        threading.Thread(target=send, args=(head + b"Content-Length: 27\r\n\r\n{", 0.0)),
    ]
    for thread in slow:
        thread.start()
    assert ask(server, {"question": "why not up?"})[0] == 200
    for thread in slow:
        thread.join()
    assert sorted(replies) == [0, 408]
    assert time.monotonic() - begun < 8


def test_idle_connections_have_a_limit_and_end(server, monkeypatch):
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(asking_server.CONNECTIONS)]
    time.sleep(0.2)
    assert wire(server, b"GET / HTTP/1.1\r\n\r\n") == b""  # one too many
    time.sleep(server.seconds)
    for s in idle:
        s.close()
    assert request(server, "GET", "/")[0] == 200


def test_an_error_of_ours_is_told_and_survived(server, monkeypatch):
    monkeypatch.setattr(Server, "answer", lambda *_: 1 / 0)
    status, found = ask(server, {"question": "why not up?"})
    assert (status, found) == (500, {"error": "the answer failed; this is an error of ours."})
    monkeypatch.undo()
    assert ask(server, {"question": "why not up?"})[0] == 200


def test_a_port_that_cannot_be_had_is_said(server):
    with pytest.raises(UserError, match=rf"port {server.port} cannot be used .*--port 0"):
        Server(server.subject, server.port)
    with pytest.raises(UserError, match="between 0 and 65535"):
        Server(server.subject, 70_000)
