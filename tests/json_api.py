"""A JSON API on the loopback, of the tests' own: a function makes its answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, object, dict[str, str]]


class Api:
    """A server whose answers a function makes: of the path and the query, and how often that was asked before."""

    def __init__(self, answer: Callable[[str, dict[str, list[str]], int], Answer]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                before = sum(path == self.path for path, _ in api.asked)
                api.asked.append((self.path, dict(self.headers)))
                parts = urlsplit(self.path)
                code, body, heads = answer(parts.path, parse_qs(parts.query), before)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                for name, value in {"Content-Length": str(len(data)), **heads}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
