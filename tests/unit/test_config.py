"""``vgate.yaml``: defaults, every field, every fault with its line, and password hashes that servers agree with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgate.config import (
    BackendTls,
    Config,
    ConfigFileError,
    ExaminedConfig,
    Limits,
    Listen,
    Pools,
    Tls,
    TlsMode,
    User,
    check_users,
    examine_config,
    load_config,
    native_digest,
    native_hash,
    parse_listen,
    require_users,
    sha2_digest,
)
from vgate.errors import ConfigError

HASH = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"  # of "secret", as MariaDB's PASSWORD() gives it


def look(text: str, directory: Path = Path("/nowhere"), **environ: str) -> ExaminedConfig:
    return examine_config(text, filename="g.yaml", environ=environ, directory=directory)


def faults(text: str) -> list[str]:
    return [str(problem) for problem in look(text).faults]


def config(text: str) -> Config:
    examined = look(text)
    assert examined.config is not None, examined.faults
    return examined.config


def test_an_empty_file_is_all_defaults() -> None:
    assert config("") == Config(file="g.yaml")
    assert config("pools:\nlimits: {}\nusers:\ntls: ~\nbackend_tls: {}\nlisten:\n") == Config(file="g.yaml")
    assert str(Config().listen) == "127.0.0.1:15306"


def test_every_field(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).write_text("x")
    text = f"""
listen: 0.0.0.0:3306
unix_socket: run/vgate.sock
users:
  app: {{password_hash: "{HASH}", keyspaces: [customer, product]}}
  report: {{password: ${{PW}}, read_only: true, keyspaces: }}
tls: {{cert: cert.pem, key: key.pem, required: true}}
pools: {{max_connections: 7, wait: 0.5, idle: 60, connect: 3}}
limits: {{max_connections: 50, max_allowed_packet: 16M, connect_timeout: 5, max_insert_rows: 10, max_gather_rows: 20,
  max_gather_bytes: 2M, idle_timeout: 600, query_timeout: 1.5, drain_timeout: 3}}
backend_tls: {{mode: verify_ca, ca: {tmp_path}/ca.pem}}
admin: 15307
"""
    found = look(text, tmp_path, PW="secret")
    assert found.warnings == ()
    assert found.config == Config(
        file="g.yaml",
        listen=Listen("0.0.0.0", 3306),
        unix_socket=tmp_path / "run/vgate.sock",
        users=(
            User("app", native_digest("secret"), keyspaces=("customer", "product")),
            User("report", native_digest("secret"), sha2_digest("secret"), read_only=True),
        ),
        tls=Tls(tmp_path / "cert.pem", tmp_path / "key.pem", required=True),
        pools=Pools(7, 0.5, 60.0, 3.0),
        limits=Limits(50, 16 * 1024 * 1024, 5.0, 10, 20, 2 * 1024 * 1024, 600.0, 1.5, 3.0),
        backend_tls=BackendTls(TlsMode.VERIFY_CA, tmp_path / "ca.pem"),
        admin=Listen("127.0.0.1", 15307),
    )


def test_users_as_a_list() -> None:
    (user,) = config(f"users:\n  - name: app\n    password_hash: '{HASH}'").users
    assert (user.name, user.line) == ("app", 2)


def test_passwords_stay_out_of_reprs() -> None:
    (user,) = config("users: {a: {password: secret}}").users
    assert "secret" not in repr(user)
    assert user.native.hex() not in repr(user)
    assert repr(user.native) not in repr(user)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:3306", Listen("127.0.0.1", 3306)),
        ("[::1]:3306", Listen("::1", 3306)),
        ("[::]", Listen("::", 15306)),
        ("db.example", Listen("db.example", 15306)),
        ("0.0.0.0", Listen("0.0.0.0", 15306)),
        ("3306", Listen("127.0.0.1", 3306)),
        (":3306", Listen("127.0.0.1", 3306)),
        ("localhost:0", Listen("localhost", 0)),
    ],
)
def test_listen(text: str, expected: Listen) -> None:
    assert parse_listen(text) == expected
    assert parse_listen(str(expected)) == expected


@pytest.mark.parametrize("text", ["::1:3306", "a:b", "h:65536", "99999", "h:", "a b:1", "/run/x.sock", "h:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|above 65535"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lisen: 1", "g.yaml:1: unknown field 'lisen' in the configuration. Did you mean 'listen'?"),
        ("listen: a b", "g.yaml:1: listen: 'a b' is not HOST:PORT, e.g. 127.0.0.1:15306 or [::1]:15306."
                        " Write e.g. listen: 127.0.0.1:15306."),
        ("admin: [1]", "g.yaml:1: admin must be a single value, not a list."),
        ("\nunix_socket: /" + "x" * 120, "g.yaml:2: unix_socket: /" + "x" * 120 + " is longer than 107 bytes."
                                         " Choose a shorter path."),
        ("pools:\n  wait: -1", "g.yaml:2: wait of pools must be a number of seconds above 0. Write e.g. 10 or 0.5."),
        ("pools: {max_connections: 0}",
         "g.yaml:1: max_connections of pools must be a whole number from 1 to 100000, not '0'."),
        ("pools: {max_connection: 1}",
         "g.yaml:1: unknown field 'max_connection' in pools. Did you mean 'max_connections'?"),
        ("limits: {max_allowed_packet: 2G}",
         "g.yaml:1: max_allowed_packet of limits must be from 1K to 1024M, not '2G'."
         " Write a number of bytes, or e.g. 64M."),
        ("limits: 5", "g.yaml:1: limits must be a mapping (name: value), not '5'."),
        ("tls: {cert: c.pem}", "g.yaml:1: tls has no key. Give both cert: and key:, as PEM files."),
        ("tls: {cert: c.pem, key: k.pem}",
         "g.yaml:1: cert of tls: there is no file /nowhere/c.pem. Names are relative to this file."),
        ("backend_tls: {mode: verify_identity}",
         "g.yaml:1: backend_tls with mode verify_identity has no ca. Name the CA's certificate in ca:."),
        ("backend_tls: {mode: on}",
         "g.yaml:1: mode of backend_tls is 'on'. Write one of disabled, required, verify_ca, verify_identity."),
        ("users: {app: {}}", "g.yaml:1: user app has no password_hash. Make it with `vgate hash-password`."),
        ("users: {app: {password_hash: }}",
         "g.yaml:1: password_hash of user app is empty. Make it with `vgate hash-password`."),
        ("users: {app: {password_hash: secret}}",
         "g.yaml:1: password_hash of user app must be * and 40 hexadecimal digits, in quotes."
         " Make it with `vgate hash-password`."),
        (f"users: {{app: {{password_hash: {HASH}}}}}",
         f"g.yaml:1: not readable as YAML: found undefined alias '{HASH[1:]}'."
         " Put a value that begins with * in quotes."),
        (f"users: {{app: {{password_hash: '{HASH}', password: x}}}}",
         "g.yaml:1: user app has both a password and a hash of one. Remove the password."),
        ("users: {app: {password: }}",
         'g.yaml:1: user app has no password. Write password: "" for an empty one.'),
        ("users: {app: {password: ${PW}}}",
         "g.yaml:1: password of user app needs the environment variable PW, which is not set."
         " Set it before starting vgate: export PW=..."),
        (f"users: {{app: {{password_hash: '{HASH}', caching_sha2_hash: x}}}}",
         "g.yaml:1: caching_sha2_hash of user app must be 64 hexadecimal digits."
         " Make it with `vgate hash-password --caching-sha2`."),
        (f"users: {{app: {{password_hash: '{HASH}', keyspaces: all}}}}",
         "g.yaml:1: keyspaces of user app must be a list ([a, b]), not 'all'."),
        (f"users: [{{name: a, password_hash: '{HASH}'}},\n {{name: a, password_hash: '{HASH}'}}]",
         "g.yaml:2: user 'a' is written twice. Remove one."),
        (f"users: [{{password_hash: '{HASH}'}}]", "g.yaml:1: a user has no name. Add name:."),
        (f"users: {{{'u' * 33}: {{password_hash: '{HASH}'}}}}",
         f"g.yaml:1: '{'u' * 33}' cannot name a user. Names have 1 to 32 characters."),
    ],
)  # fmt: skip
def test_faults(text: str, expected: str) -> None:
    found = faults(text)
    assert expected in found
    assert look(text).config is None


def test_warnings_of_passwords_in_clear() -> None:
    assert "can be read in this file" in look("users: {a: {password: secret}}").warnings[0].message
    assert "whoever reaches the port" in look('users: {a: {password: ""}}').warnings[0].message
    assert look("users: {a: {password: ${PW}}}", PW="secret").warnings == ()


def test_an_empty_password_has_an_empty_digest() -> None:
    (user,) = config('users: {a: {password: ""}}').users
    assert user.native == b""
    assert user.sha2 == b""


def test_hashes() -> None:
    assert native_hash("secret") == HASH
    assert native_hash("") == ""
    assert native_digest("secret").hex().upper() == HASH[1:]
    assert len(sha2_digest("secret")) == 32


def test_serving_needs_users() -> None:
    require_users(config(f"users: {{a: {{password_hash: '{HASH}'}}}}"))
    with pytest.raises(ConfigError, match=r"g.yaml: there are no users.*vgate hash-password.*vgate local"):
        require_users(config(""))


def test_users_of_keyspaces_that_are_not_there() -> None:
    text = f"users:\n  a: {{password_hash: '{HASH}', keyspaces: [customer, costumer]}}"
    (problem,) = check_users(config(text), ["product", "customer"])
    assert str(problem) == (
        "g.yaml:2: user a may use keyspace 'costumer', which is not in the VSchema. The VSchema has product, customer."
    )


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "vgate.yaml"
    path.write_text("listen: 127.0.0.1:1", encoding="utf-8")
    assert load_config(path, environ={}).listen == Listen("127.0.0.1", 1)
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_config(tmp_path / "none.yaml", environ={})
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigFileError, match="is not UTF-8 text"):
        load_config(path, environ={})
