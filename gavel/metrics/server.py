"""Metrics and health over HTTP, on loopback unless another address is named (O-1)."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gavel.metrics.health import Health
from gavel.metrics.names import Metrics
from protocol.errors import UsageError

LOOPBACK: Final = "127.0.0.1"
PATIENCE: Final = 10.0
"""Seconds that a client may take to ask."""

MOST_THREADS: Final = 16
"""Requests answered at the same time; more are turned away."""


def read_place(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[IPv6]:PORT`` or ``PORT``, which is on loopback.

    Raises:
        UsageError: it is neither.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535 or (":" in text and not host):
        raise UsageError(f"{text!r} is no place to serve metrics at; write PORT, or HOST:PORT")
    return host.strip("[]") or LOOPBACK, int(port)


class MetricsServer:
    """Serves `/metrics` and `/healthz` until it is closed.

    Attributes:
        url: of its root, such as ``http://127.0.0.1:9464``.
    """

    def __init__(self, metrics: Metrics, health: Health, place: tuple[str, int]) -> None:
        """Bind and begin to serve; port 0 picks a free one.

        Raises:
            UsageError: the place cannot be bound.
        """
        host, port = place
        try:
            self._server = _Server(metrics, health, (host, port))
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {host} port {port} ({error.strerror or error}); name another "
                "port with --metrics, or 0 for any"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, metrics: Metrics, health: Health, place: tuple[str, int]) -> None:
        self.metrics, self.health = metrics, health
        self._free = threading.BoundedSemaphore(MOST_THREADS)
        if ":" in place[0]:
            import socket

            self.address_family = socket.AF_INET6
        super().__init__(place, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        """Answer in a thread, unless there are too many of them."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._free.release()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.metrics.registry))
        elif path == "/healthz":
            well, told = self.server.health.report()
            self._answer(200 if well else 503, "application/json", json.dumps(told).encode() + b"\n")
        else:
            self._answer(404, "text/plain", b"there are /metrics and /healthz\n")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in http.server)
        """Say nothing: the log is the process's own."""
