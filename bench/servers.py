"""The database servers that are measured, and what is in them.

Four private servers: ``whole`` holds every row and is what a client reaches directly and through HAProxy; the two
shards hold the same rows, each on the shard of its id, and the fourth holds the sequence; these three are vgate's.
``whole`` also has the database ``oltp``, a copy that sysbench's oltp_read_write may change, whichever way it comes.
Rows are computed from their id by the servers themselves, so all of them have equal ones. They are put on the servers
directly: what is measured has no part in it. Which shard an id belongs to is computed here once more, not asked.

It does not know proxies or cases.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from bench.client import Client, Endpoint, run_all
from vgate.local.programs import find_programs
from vgate.local.server import LocalServer

USER, PASSWORD = "bench", "bench's password"
DATABASE, OLTP, SEQUENCES = "bench", "oltp", "ids"
WHOLE, LOWER, UPPER = "whole", "-80", "80-"
ROWS: Final = 100_000
CACHE: Final = 1000
"""Ids that a proxy takes from the sequence at a time."""

OPTIONS: Final = (
    "--innodb-buffer-pool-size=256M", "--max-allowed-packet=1G", "--max-connections=3000", "--back-log=1000",
    "--innodb-log-file-size=256M",
)  # fmt: skip
_AT_ONCE = 5000

_ACCOUNT = (
    f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD.replace(chr(39), chr(39) * 2)}'",
    f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1'",
)

# The columns of sysbench's own table; rows of `wide` are 200 bytes on the wire, those of `narrow` are two integers.
_TABLES = (
    "CREATE TABLE {0}sbtest1 (id BIGINT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL)",
    "CREATE TABLE {0}wide (id BIGINT PRIMARY KEY, body VARCHAR(200) NOT NULL)",
    "CREATE TABLE {0}narrow (id BIGINT PRIMARY KEY, k INT NOT NULL)",
)
_FILL = (
    "INSERT INTO {0}sbtest1 SELECT id, id * 7919 % 100003, LEFT(REPEAT(MD5(id), 4), 119), LEFT(REPEAT(MD5(-id), 2), 59)"
    " FROM {1} ORDER BY id",
    "INSERT INTO {0}wide SELECT id, RPAD(MD5(id), 198 - LENGTH(id), 'x') FROM {1} ORDER BY id",
    "INSERT INTO {0}narrow SELECT id, id * 7919 % 100003 FROM {1} ORDER BY id",
)
_ITEMS = "CREATE TABLE items (id BIGINT PRIMARY KEY{}, name VARCHAR(40) NOT NULL)"
_GROUPED = "CREATE TABLE grouped (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL)"
_SEQUENCE = (
    "CREATE TABLE items_seq (id BIGINT PRIMARY KEY, next_id BIGINT, cache BIGINT) COMMENT 'vitess_sequence'",
    f"INSERT INTO items_seq VALUES (0, 1, {CACHE})",
)


@dataclass(frozen=True, slots=True)
class Servers:
    """The running servers, by name: WHOLE, LOWER, UPPER and SEQUENCES."""

    version: str
    ports: dict[str, int]
    cert: Path
    key: Path

    def endpoint(self, name: str, *, tls: bool = False) -> Endpoint:
        """How a client reaches one of them. All but the sequences' have the same database."""
        database = SEQUENCES if name == SEQUENCES else DATABASE
        return Endpoint(self.ports[name], USER, PASSWORD, database, tls)

    def run(self, name: str, *statements: str) -> None:
        """Statements without rows, on a connection of its own."""
        run_all(self.endpoint(name), list(statements))

    def number(self, name: str, sql: str) -> int:
        """The one number that a statement gives."""
        with Client(self.endpoint(name)) as client:
            return client.number(sql)

    @property
    def shards(self) -> tuple[str, str]:
        return (LOWER, UPPER)


def shard_of(number: int) -> str:
    """The shard of an id under Vitess's ``hash``: the first bit of the id encrypted by DES with a key of zeros."""
    cipher = Cipher(TripleDES(bytes(24)), modes.ECB()).encryptor()
    return LOWER if cipher.update(number.to_bytes(8, "big"))[0] < 0x80 else UPPER


@contextmanager
def running(directory: Path) -> Iterator[Servers]:
    """Servers under ``directory``, filled; stopped at the end."""
    directory.mkdir()
    cert, key = _certificate(directory)
    programs = find_programs()
    names = (WHOLE, LOWER, UPPER, SEQUENCES)
    started = [
        LocalServer(
            programs, directory / f"server{index}", templates=directory / "templates", label=name,
            databases=[SEQUENCES if name == SEQUENCES else DATABASE], relaxed=True,
            options=[*OPTIONS, f"--ssl-cert={cert}", f"--ssl-key={key}"],
        )
        for index, name in enumerate(names)
    ]  # fmt: skip
    try:
        asyncio.run(_start(started))
        servers = Servers(programs.label, {server.label: server.port for server in started}, cert, key)
        _fill(servers)
        yield servers
    finally:
        asyncio.run(_stop(started))


async def _start(servers: Sequence[LocalServer]) -> None:
    first, *others = servers
    await first.start()  # it makes the template that the others copy
    await asyncio.gather(*(server.start() for server in others))


async def _stop(servers: Sequence[LocalServer]) -> None:
    await asyncio.gather(*(server.stop() for server in servers))


def _fill(servers: Servers) -> None:
    every = range(1, ROWS + 1)
    cipher = Cipher(TripleDES(bytes(24)), modes.ECB()).encryptor()
    lower = {number for number in every if cipher.update(number.to_bytes(8, "big"))[0] < 0x80}
    ids = {WHOLE: every, LOWER: [n for n in every if n in lower], UPPER: [n for n in every if n not in lower]}
    for name in (*ids, SEQUENCES):
        run_all(Endpoint(servers.ports[name], "root", ""), list(_ACCOUNT))
    for name, numbers in ids.items():
        auto = " AUTO_INCREMENT" if name == WHOLE else ""
        servers.run(name, *_rows("own_ids", numbers, ""), _ITEMS.format(auto), _GROUPED)
        if name == WHOLE:
            table = f"{OLTP}.sbtest1"
            servers.run(name, f"CREATE DATABASE {OLTP}", f"CREATE TABLE {table} LIKE sbtest1",
                        f"INSERT INTO {table} SELECT * FROM sbtest1", f"ALTER TABLE {table} ADD KEY (k)")  # fmt: skip
        if name != UPPER:  # tables with all rows on one server, for statements that aim at one shard
            servers.run(name, *_rows("all_ids", every, "one_"))
    servers.run(SEQUENCES, *_SEQUENCE)


def _rows(ids: str, numbers: Sequence[int], prefix: str) -> Iterator[str]:
    yield f"CREATE TABLE {ids} (id BIGINT PRIMARY KEY)"
    for start in range(0, len(numbers), _AT_ONCE):
        yield f"INSERT INTO {ids} VALUES " + ",".join(f"({number})" for number in numbers[start : start + _AT_ONCE])
    for table, fill in zip(_TABLES, _FILL, strict=True):
        yield table.format(prefix)
        yield fill.format(prefix, ids)
        yield f"DO (SELECT COUNT(*) FROM {prefix}{table.split(' ')[2].removeprefix('{0}')})"
    yield f"DROP TABLE {ids}"


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for this run, signed by itself, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vgate bench")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30)).sign(secret, hashes.SHA256())
    )  # fmt: skip
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.touch(0o600)
    key.write_bytes(secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    return cert, key
