"""A real server on this machine that can misbehave."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PAYLOAD = bytes(range(256)) * 400
SUM = hashlib.sha256(PAYLOAD).hexdigest()


@dataclass
class Server:
    """What is served and how; `asked` collects the Range header of each request."""

    payload: bytes = PAYLOAD
    ranges: bool = True
    cut_after: int | None = None
    status: int = 200
    wrong_start: bool = False
    total_in_416: bool = True
    says_length: bool = True
    chunked: bool = False
    delay: float = 0.0
    url: str = ""
    asked: list[str | None] = field(default_factory=list)

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if server.chunked else "HTTP/1.0"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                server.asked.append(wanted)
                time.sleep(server.delay)
                if server.status != 200:
                    self.send_response(server.status)
                    self.end_headers()
                    return
                start = (
                    int(wanted.removeprefix("bytes=").removesuffix("-"))
                    if wanted and server.ranges
                    else 0
                )
                if start and start >= len(server.payload):
                    self.send_response(416)
                    if server.total_in_416:
                        self.send_header("Content-Range", f"bytes */{len(server.payload)}")
                    self.end_headers()
                    return
                self.send_body(start)

            def send_body(self, start: int) -> None:
                body = server.payload[start:]
                self.send_response(206 if start else 200)
                if start:
                    first = 1 if server.wrong_start else start
                    self.send_header(
                        "Content-Range",
                        f"bytes {first}-{len(server.payload) - 1}/{len(server.payload)}",
                    )
                if server.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                elif server.says_length:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                sent = body[: server.cut_after]
                if server.chunked:
                    self.wfile.write(b"%x\r\n" % len(body) + sent)
                    if server.cut_after is None:
                        self.wfile.write(b"\r\n0\r\n\r\n")
                    self.close_connection = True
                else:
                    self.wfile.write(sent)

        return Handler


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), server.handler()) as httpd:
        server.url = f"http://127.0.0.1:{httpd.server_address[1]}/files/thing.bin"
        # The default poll of half a second would be the time of each shutdown.
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()
