"""Who a client is, as the handshake established it: name, chosen database, negotiated capabilities, collation.

It does not know how a password is checked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Login:
    """An authenticated client. ``database`` is empty where none was named; ``collation`` is the handshake's id.

    ``capabilities`` holds the flags both sides agreed on. ``host`` is the client's address as ``USER()`` shows it.
    ``keyspaces`` are those the user may use, None for all; ``read_only`` users may not write.
    """

    connection_id: int
    user: str
    database: str = ""
    capabilities: int = 0
    collation: int = 45
    host: str = "localhost"
    keyspaces: tuple[str, ...] | None = None
    read_only: bool = False
