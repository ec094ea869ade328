"""The embedded chain as JSON-RPC over HTTP on loopback, for several processes on one machine.

No authentication and public keys: it binds 127.0.0.1 alone and answers only requests that name a loopback
host, so that no web page can reach it under a name of its own.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from protocol.chain.embedded import EmbeddedChain, answer
from protocol.errors import UsageError

HOST: Final = "127.0.0.1"
MAX_REQUEST_BYTES: Final = 4 << 20
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost")


class Devnet:
    """A server of one chain. Use as a context manager, or `serve` in the foreground.

    Attributes:
        chain: what is served.
        url: where, such as ``http://127.0.0.1:8545``.
    """

    def __init__(self, chain: EmbeddedChain, *, port: int = 8545, block_time: float = 1.0) -> None:
        """Bind the port; 0 picks a free one.

        Args:
            chain: the chain to serve.
            port: on 127.0.0.1.
            block_time: seconds between checks whether an empty block is due, so that the chain's clock moves
                on while nobody sends anything.

        Raises:
            UsageError: the port is taken.
        """
        self.chain = chain
        self._block_time = block_time
        self._stopped = threading.Event()
        try:
            self._server = _Server(chain, port)
        except OSError as error:
            raise UsageError(
                f"port {port} of {HOST} cannot be bound ({error.strerror}); choose another one with --port, "
                "0 for any"
            ) from error
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Serve until `stop`, or until the thread is interrupted."""
        clock = threading.Thread(target=self._keep_time, daemon=True)
        clock.start()
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._stopped.set()
            clock.join()
            self._server.server_close()

    def stop(self) -> None:
        """End `serve`."""
        self._stopped.set()
        self._server.shutdown()

    def __enter__(self) -> Devnet:
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def _keep_time(self) -> None:
        while not self._stopped.wait(self._block_time):
            self.chain.mine_if_behind()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, chain: EmbeddedChain, port: int) -> None:
        self.chain = chain
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what goes wrong, but not that a client has left or was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one segment: no wait for the peer's delayed acknowledgement
    server: _Server

    def do_POST(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        length = int(self.headers.get("Content-Length") or 0)
        if host not in _LOOPBACK_NAMES:
            self.send_error(403, "only requests to a loopback name are answered")
        elif not 0 < length <= MAX_REQUEST_BYTES:
            self.send_error(413, "the body is empty or too large")
        else:
            self._reply(self.rfile.read(length))

    def _reply(self, body: bytes) -> None:
        response: Any
        try:
            request = json.loads(body)
        except ValueError:
            request = None
        if isinstance(request, dict):
            response = answer(self.server.chain, request)
        elif isinstance(request, list) and all(isinstance(entry, dict) for entry in request):
            response = [answer(self.server.chain, entry) for entry in request]
        else:
            problem = {"code": -32700, "message": "the body is not a JSON-RPC request"}
            response = {"jsonrpc": "2.0", "id": None, "error": problem}
        data = json.dumps(response).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing: requests are not news."""
