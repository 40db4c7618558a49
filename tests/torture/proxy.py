"""A wire to PostgreSQL that breaks at a chosen message, before or after it."""

import os
import socket
import threading
from contextlib import suppress

from psycopg.conninfo import conninfo_to_dict

from tests.servers import postgresql

CHUNK = 65_536


class Proxy:
    """Forwards to the server of this run until the message of its number.

    ``delivered`` says whether that message still reaches the server, which then
    does what it says; the answer reaches nobody.
    """

    def __init__(self) -> None:
        self.cut_at = 0
        self.delivered = False
        self.messages = 0
        self.has_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut_at: int, *, delivered: bool) -> None:
        """Cut at that message from now on; counting starts over."""
        self.messages, self.has_cut = 0, False
        self.cut_at, self.delivered = cut_at, delivered

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), _server() as server:
            back = threading.Thread(target=_answer, args=[server, client], daemon=True)
            is_first = True
            while message := client.recv(CHUNK):
                if is_first:
                    back.start()
                elif self._cuts():
                    self._cut(client, server, message)
                    return
                is_first = False
                server.sendall(message)
            server.shutdown(socket.SHUT_RDWR)

    def _cuts(self) -> bool:
        self.messages += 1
        self.has_cut = self.has_cut or self.messages == self.cut_at
        return self.has_cut

    def _cut(self, client: socket.socket, server: socket.socket, message: bytes) -> None:
        client.shutdown(socket.SHUT_RDWR)
        if self.delivered:
            server.sendall(message)
            # The server ends the session only after it has done what it was told.
            server.shutdown(socket.SHUT_WR)
            while server.recv(CHUNK):
                pass
        # Closed only, it would stay open as long as the other thread reads it.
        server.shutdown(socket.SHUT_RDWR)


def _server() -> socket.socket:
    parts = conninfo_to_dict(postgresql.url())
    host, port = str(parts.get("host") or "127.0.0.1"), int(parts.get("port") or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.fspath(f"{host}/.s.PGSQL.{port}"))
    return server


def _answer(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while answer := server.recv(CHUNK):
            client.sendall(answer)
