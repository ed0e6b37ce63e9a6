"""``vgate.yaml`` and the command line as data: where to listen, who may log in, TLS, pool sizes, limits.

Every field is optional and has its default here. Faults carry file, line and remedy, as those of ``vschema.yaml`` do.
This module does not know keyspaces: which of them a user may use is compared with the VSchema by ``check_users``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vgate.errors import ConfigError
from vgate.yamlfile import (
    FileError,
    List,
    Map,
    Node,
    Pair,
    Problem,
    Report,
    Scalar,
    expand,
    fields,
    is_nothing,
    parse,
    read_bool,
    read_list,
    read_map,
    read_number,
    read_seconds,
    read_text,
)

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 15306

# -- what a configuration says ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listen:
    """A TCP address to listen on. Port 0 lets the system choose."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in. Passwords are kept only as the digests that logging in needs.

    ``native``: SHA1(SHA1(password)), what mysql_native_password checks; empty for an empty password.
    ``sha2``: SHA256(SHA256(password)), what caching_sha2_password checks; None where it is not known.
    ``keyspaces``: None for all of them. ``line``: where the file names the user.
    """

    name: str
    native: bytes = field(repr=False)
    sha2: bytes | None = field(default=None, repr=False)
    keyspaces: tuple[str, ...] | None = None
    read_only: bool = False
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificate shown to clients; ``required`` refuses those that do not ask for TLS."""

    cert: Path
    key: Path
    required: bool = False


class TlsMode(StrEnum):
    """How backend servers are spoken to, in the words of MySQL's ``--ssl-mode``."""

    DISABLED = "disabled"
    REQUIRED = "required"
    VERIFY_CA = "verify_ca"
    VERIFY_IDENTITY = "verify_identity"


@dataclass(frozen=True, slots=True)
class BackendTls:
    """TLS towards the backend servers."""

    mode: TlsMode = TlsMode.DISABLED
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Pools:
    """Connections to one shard, per kind of client and worker; ``wait``, ``idle`` and ``connect`` are seconds."""

    max_connections: int = 100
    wait: float = 10.0
    idle: float = 300.0
    connect: float = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them, may ask for.

    Seconds: ``connect_timeout`` is what a login may take, ``query_timeout`` a command (None: any time),
    ``idle_timeout`` how long a client may say nothing, and ``drain_timeout`` how long transactions may go on when
    vgate is told to end.
    """

    max_connections: int = 10_000
    max_allowed_packet: int = 64 * 1024 * 1024
    connect_timeout: float = 10.0
    max_insert_rows: int = 1_000_000
    max_gather_rows: int = 200_000
    max_gather_bytes: int = 256 * 1024 * 1024
    idle_timeout: float = 28_800.0
    query_timeout: float | None = None
    drain_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Config:
    """All of ``vgate.yaml``. ``file`` is its name in messages."""

    file: str = "vgate.yaml"
    listen: Listen = Listen()
    unix_socket: Path | None = None
    users: tuple[User, ...] = ()
    tls: Tls | None = None
    pools: Pools = Pools()
    limits: Limits = Limits()
    backend_tls: BackendTls = BackendTls()
    admin: Listen | None = None


class ConfigFileError(FileError):
    """A configuration that cannot be used, with every reason why."""


# -- what the command line says -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """``vgate serve``. ``config`` is None where no file is there and none was named; others override the file."""

    vschema: Path
    config: Path | None = None
    listen: Listen | None = None
    unix_socket: Path | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """``vgate local``. ``schema`` holds ``KEYSPACE/*.sql``; ``mysqld`` is None to take what PATH has."""

    vschema: Path
    schema: Path | None = None
    data: Path = Path(".vgate")
    listen: Listen | None = None
    unix_socket: Path | None = None
    mysqld: str | None = None
    reset: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """``vgate check``: ``live`` also looks at the servers."""

    vschema: Path
    config: Path | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """``vgate explain``: the plan of one statement, offline."""

    vschema: Path
    sql: str
    keyspace: str | None = None


# -- passwords ----------------------------------------------------------------------------------------------------


def native_digest(password: str) -> bytes:
    """SHA1(SHA1(password)): what mysql_native_password keeps. An empty password is an empty digest."""
    data = password.encode("utf-8")
    return hashlib.sha1(hashlib.sha1(data).digest()).digest() if data else b""


def native_hash(password: str) -> str:
    """The password as ``mysql.user`` and ``vgate.yaml`` write it for mysql_native_password: ``*`` and 40 digits."""
    digest = native_digest(password)
    return "*" + digest.hex().upper() if digest else ""


def sha2_digest(password: str) -> bytes:
    """SHA256(SHA256(password)): what the fast path of caching_sha2_password checks a scramble with."""
    data = password.encode("utf-8")
    return hashlib.sha256(hashlib.sha256(data).digest()).digest() if data else b""


def require_users(config: Config) -> None:
    """Serving without users would let nobody in, and a default user everybody. Raises ConfigError."""
    if not config.users:
        raise ConfigError(
            f"{config.file}: there are no users, so nobody could log in. Add users: {{NAME: {{password_hash: HASH}}}}, "
            "with a hash made by `vgate hash-password`; or try things out with `vgate local`."
        )


def check_users(config: Config, keyspaces: Collection[str]) -> tuple[Problem, ...]:
    """Users' keyspaces that the VSchema does not have."""
    return tuple(
        Problem(config.file, user.line, f"user {user.name} may use keyspace {name!r}, which is not in the VSchema",
                f"The VSchema has {', '.join(keyspaces)}.")
        for user in config.users
        for name in user.keyspaces or ()
        if name not in keyspaces
    )


def parse_listen(text: str) -> Listen:
    """``HOST:PORT``, ``[IPV6]:PORT``, ``HOST`` or ``PORT``. Raises ValueError with what is wrong."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]/]*))(?::([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError(f"{text!r} is not HOST:PORT, e.g. {DEFAULT_HOST}:{DEFAULT_PORT} or [::1]:{DEFAULT_PORT}")
    host, port = match[1] or match[2] or "", match[3]
    if port is None and re.fullmatch(r"[0-9]{1,5}", host):
        host, port = "", host
    number = DEFAULT_PORT if port is None else int(port)
    if number > 65535:
        raise ValueError(f"port {number} is above 65535")
    return Listen(host or DEFAULT_HOST, number)


# -- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExaminedConfig:
    """What reading a configuration came to: None if there are faults."""

    config: Config | None
    faults: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load_config(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read the configuration in ``path``. Raises ConfigFileError."""
    examined = examine_config_file(path, environ=environ)
    if examined.config is None:
        raise ConfigFileError(examined.faults)
    return examined.config


def examine_config_file(path: Path, *, environ: Mapping[str, str]) -> ExaminedConfig:
    """As ``load_config``, with the warnings and without raising. Files that it names are beside it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        problem = Problem(str(path), 1, f"cannot be read: {reason}", "Name another file with --config.")
        return ExaminedConfig(None, (problem,), ())
    except UnicodeDecodeError:
        return ExaminedConfig(None, (Problem(str(path), 1, "is not UTF-8 text", "Save it as UTF-8."),), ())
    return examine_config(text, filename=str(path), environ=environ, directory=path.parent)


def examine_config(
    text: str, *, filename: str, environ: Mapping[str, str], directory: Path
) -> ExaminedConfig:
    """The configuration in ``text``; names of files are taken from ``directory``."""
    report = Report(filename)
    root = parse(text, report)
    config = None
    if root is not None:
        config = _Reader(report, environ, directory).read(read_map(root, "the configuration", report))
    report.sort()
    return ExaminedConfig(None if report.faults else config, tuple(report.faults), tuple(report.warnings))


_TOP = ("listen", "unix_socket", "users", "tls", "pools", "limits", "backend_tls", "admin")
_USER = ("name", "password_hash", "caching_sha2_hash", "password", "keyspaces", "read_only")
_MAX_NAME = 32  # characters of a MySQL user name
_MAX_SOCKET_PATH = 107  # bytes that Linux has room for
_MAX_PACKET = 1024**3  # MySQL's own limit
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_HASH_REMEDY = "Make it with `vgate hash-password`."


class _Reader:
    """One reading of one file."""

    def __init__(self, report: Report, environ: Mapping[str, str], directory: Path) -> None:
        self.report = report
        self.environ = environ
        self.directory = directory

    def read(self, root: Map) -> Config:
        """The whole file."""
        found = fields(root, "the configuration", _TOP, self.report)
        return Config(
            file=self.report.file,
            listen=self._listen(found.get("listen"), "listen") or Listen(),
            unix_socket=self._socket(found.get("unix_socket")),
            users=self._users(found.get("users")),
            tls=self._tls(found.get("tls")),
            pools=self._pools(found.get("pools")),
            limits=self._limits(found.get("limits")),
            backend_tls=self._backend_tls(found.get("backend_tls")),
            admin=self._listen(found.get("admin"), "admin"),
        )

    # -- single values ------------------------------------------------------------------------------------------------

    def _text(self, pair: Pair | None, what: str) -> str | None:
        """The value with its variables replaced; "" for a quoted nothing, None for none and after a fault."""
        if pair is None:
            return None
        if not isinstance(pair.value, Scalar):
            return read_text(pair.value, what, self.report)
        if pair.value.null:
            return None
        return expand(pair.value, self.environ, what, self.report)

    def _listen(self, pair: Pair | None, what: str) -> Listen | None:
        text = self._text(pair, what)
        if pair is None or not text:
            return None
        try:
            return parse_listen(text)
        except ValueError as error:
            self.report.fault(pair.key.line, f"{what}: {error}", f"Write e.g. {what}: {Listen()}.")
            return None

    def _socket(self, pair: Pair | None) -> Path | None:
        text = self._text(pair, "unix_socket")
        if pair is None or not text:
            return None
        path = self.directory / text
        if len(str(path).encode()) > _MAX_SOCKET_PATH:
            self.report.fault(
                pair.key.line, f"unix_socket: {path} is longer than {_MAX_SOCKET_PATH} bytes", "Choose a shorter path."
            )
        return path

    def _existing(self, pair: Pair | None, what: str) -> Path | None:
        text = self._text(pair, what)
        if pair is None or not text:
            return None
        path = self.directory / text
        if not path.is_file():
            self.report.fault(pair.key.line, f"{what}: there is no file {path}", "Names are relative to this file.")
        return path

    def _number(self, found: Mapping[str, Pair], name: str, what: str, default: int, low: int, high: int) -> int:
        pair = found.get(name)
        read = None if pair is None else read_number(
            pair.value, f"{name} of {what}", self.report, low=low, high=high, text=self._text(pair, name) or ""
        )
        return default if read is None else read

    def _seconds(self, found: Mapping[str, Pair], name: str, what: str, default: float) -> float:
        read = read_seconds(found[name].value, f"{name} of {what}", self.report) if name in found else None
        return default if read is None else read

    def _size(self, found: Mapping[str, Pair], name: str, what: str, default: int, high: int) -> int:
        text = self._text(found.get(name), f"{name} of {what}")
        if not text:
            return default
        match = re.fullmatch(r"([0-9]{1,10})\s*([KMG]?)", text, re.IGNORECASE)
        size = int(match[1]) * _SIZES[match[2].upper()] if match else 0
        if not 1024 <= size <= high:
            line = found[name].key.line
            self.report.fault(line, f"{name} of {what} must be from 1K to {high // 1024**2}M, not {text!r}",
                              "Write a number of bytes, or e.g. 64M.")
            return default
        return size

    # -- sections -----------------------------------------------------------------------------------------------------

    def _pools(self, pair: Pair | None) -> Pools:
        if pair is None:
            return Pools()
        default, report = Pools(), self.report
        found = fields(read_map(pair.value, "pools", report), "pools", Pools.__dataclass_fields__, report)
        return Pools(
            max_connections=self._number(found, "max_connections", "pools", default.max_connections, 1, 100_000),
            wait=self._seconds(found, "wait", "pools", default.wait),
            idle=self._seconds(found, "idle", "pools", default.idle),
            connect=self._seconds(found, "connect", "pools", default.connect),
        )

    def _limits(self, pair: Pair | None) -> Limits:
        if pair is None:
            return Limits()
        default, report = Limits(), self.report
        found = fields(read_map(pair.value, "limits", report), "limits", Limits.__dataclass_fields__, report)
        return Limits(
            max_connections=self._number(found, "max_connections", "limits", default.max_connections, 1, 1_000_000),
            max_allowed_packet=self._size(
                found, "max_allowed_packet", "limits", default.max_allowed_packet, _MAX_PACKET
            ),
            connect_timeout=self._seconds(found, "connect_timeout", "limits", default.connect_timeout),
            idle_timeout=self._seconds(found, "idle_timeout", "limits", default.idle_timeout),
            drain_timeout=self._seconds(found, "drain_timeout", "limits", default.drain_timeout),
            query_timeout=self._seconds(found, "query_timeout", "limits", 0.0) or None,
            max_insert_rows=self._number(found, "max_insert_rows", "limits", default.max_insert_rows, 1, 10**9),
            max_gather_rows=self._number(found, "max_gather_rows", "limits", default.max_gather_rows, 1, 10**9),
            max_gather_bytes=self._size(found, "max_gather_bytes", "limits", default.max_gather_bytes, 1 << 40),
        )

    def _tls(self, pair: Pair | None) -> Tls | None:
        if pair is None or is_nothing(pair.value):
            return None
        found = fields(read_map(pair.value, "tls", self.report), "tls", ("cert", "key", "required"), self.report)
        for name in ("cert", "key"):
            if name not in found:
                self.report.fault(pair.key.line, f"tls has no {name}", "Give both cert: and key:, as PEM files.")
        cert = self._existing(found.get("cert"), "cert of tls")
        key = self._existing(found.get("key"), "key of tls")
        required = "required" in found and read_bool(found["required"].value, "required of tls", self.report)
        return None if cert is None or key is None else Tls(cert, key, required)

    def _backend_tls(self, pair: Pair | None) -> BackendTls:
        if pair is None or is_nothing(pair.value):
            return BackendTls()
        what = "backend_tls"
        found = fields(read_map(pair.value, what, self.report), what, ("mode", "ca", "cert", "key"), self.report)
        files = {name: self._existing(found.get(name), f"{name} of {what}") for name in ("ca", "cert", "key")}
        text = self._text(found.get("mode"), f"mode of {what}") or TlsMode.REQUIRED
        if text not in TlsMode.__members__.values():
            modes = ", ".join(TlsMode)
            self.report.fault(found["mode"].key.line, f"mode of {what} is {text!r}", f"Write one of {modes}.")
            return BackendTls()
        mode = TlsMode(text)
        if mode in (TlsMode.VERIFY_CA, TlsMode.VERIFY_IDENTITY) and "ca" not in found:
            self.report.fault(pair.key.line, f"{what} with mode {mode} has no ca", "Name the CA's certificate in ca:.")
        if ("cert" in found) != ("key" in found):
            self.report.fault(pair.key.line, f"{what} has only one of cert and key", "Give both, or neither.")
        return BackendTls(mode, files["ca"], files["cert"], files["key"])

    # -- users --------------------------------------------------------------------------------------------------------

    def _users(self, pair: Pair | None) -> tuple[User, ...]:
        """``users: {NAME: {...}}``, or a list of mappings that each have a name."""
        if pair is None:
            return ()
        users: dict[str, User] = {}
        for name, node in self._named(pair.value):
            if len(name.text) > _MAX_NAME or not name.text:
                self.report.fault(
                    name.line, f"{name.text!r} cannot name a user", f"Names have 1 to {_MAX_NAME} characters."
                )
            if name.text in users:
                self.report.fault(name.line, f"user {name.text!r} is written twice", "Remove one.")
            users[name.text] = self._user(name, node)
        return tuple(users.values())

    def _named(self, node: Node) -> list[tuple[Scalar, Node]]:
        if not isinstance(node, List):
            return [(pair.key, pair.value) for pair in read_map(node, "users", self.report).pairs]
        named: list[tuple[Scalar, Node]] = []
        for item in node.items:
            pairs = read_map(item, "a user", self.report).pairs
            name = next((pair.value for pair in pairs if pair.key.text == "name"), None)
            if isinstance(name, Scalar):
                named.append((name, item))
            elif pairs:
                self.report.fault(item.line, "a user has no name", "Add name:.")
        return named

    def _user(self, name: Scalar, node: Node) -> User:
        what = f"user {name.text}"
        found = fields(read_map(node, what, self.report), what, _USER, self.report)
        native = self._native(found.get("password_hash"), what)
        sha2 = self._sha2(found.get("caching_sha2_hash"), what)
        if "password" in found:
            password = self._password(found, what)
            if password is not None:
                native, sha2 = native_digest(password), sha2_digest(password)
        elif "password_hash" not in found:
            self.report.fault(name.line, f"{what} has no password_hash", _HASH_REMEDY)
        keyspaces = None
        allowed = found["keyspaces"].value if "keyspaces" in found else Scalar("", name.line)
        if not (isinstance(allowed, Scalar) and allowed.null):
            items = read_list(allowed, f"keyspaces of {what}", self.report)
            names = [read_text(item, f"a keyspace of {what}", self.report) for item in items]
            keyspaces = tuple(text for text in names if text)
        read_only = "read_only" in found and read_bool(found["read_only"].value, f"read_only of {what}", self.report)
        return User(name.text, native or b"", sha2, keyspaces, read_only, name.line)

    def _password(self, found: Mapping[str, Pair], what: str) -> str | None:
        """A password in clear, which is bad manners but for one that comes from the environment."""
        pair = found["password"]
        if "password_hash" in found or "caching_sha2_hash" in found:
            self.report.fault(pair.key.line, f"{what} has both a password and a hash of one", "Remove the password.")
            return None
        password = self._text(pair, f"password of {what}")
        if password is None:
            if is_nothing(pair.value):
                self.report.fault(pair.key.line, f"{what} has no password", 'Write password: "" for an empty one.')
            return None
        if password == "":
            self.report.warn(
                pair.key.line, f"{what} has an empty password: whoever reaches the port can log in", _HASH_REMEDY
            )
        elif isinstance(pair.value, Scalar) and "${" not in pair.value.text:
            self.report.warn(
                pair.key.line, f"the password of {what} can be read in this file",
                "Write password_hash instead, made with `vgate hash-password`.",
            )
        return password

    def _native(self, pair: Pair | None, what: str) -> bytes | None:
        text = self._text(pair, f"password_hash of {what}")
        if pair is None or text is None:
            if pair is not None and is_nothing(pair.value):
                self.report.fault(pair.key.line, f"password_hash of {what} is empty", _HASH_REMEDY)
            return None
        if not re.fullmatch(r"\*[0-9A-Fa-f]{40}", text):
            self.report.fault(
                pair.key.line, f"password_hash of {what} must be * and 40 hexadecimal digits, in quotes", _HASH_REMEDY
            )
            return None
        return bytes.fromhex(text[1:])

    def _sha2(self, pair: Pair | None, what: str) -> bytes | None:
        text = self._text(pair, f"caching_sha2_hash of {what}")
        if pair is None or text is None:
            return None
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            self.report.fault(
                pair.key.line, f"caching_sha2_hash of {what} must be 64 hexadecimal digits",
                "Make it with `vgate hash-password --caching-sha2`.",
            )
            return None
        return bytes.fromhex(text)
