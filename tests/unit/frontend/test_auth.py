"""Both password plug-ins as a state machine: published vectors, every path, nothing that tells users from strangers.

The arithmetic is also compared with PyMySQL's, which real servers accept.
"""

from __future__ import annotations

import hashlib

import pymysql._auth
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.unit.frontend.raw_client import native_answer, sha2_answer
from vgate.config import User, native_digest, sha2_digest
from vgate.frontend import auth
from vgate.frontend.auth import (
    Accounts,
    Ask,
    Authentication,
    Denied,
    Granted,
    NeedKey,
    RsaKeys,
    Step,
    native_matches,
    sha2_matches,
    xor,
)
from vgate.frontend.greeting import NATIVE, SHA2, auth_more, auth_switch

SCRAMBLE = b"abcdefghijklmnopqrst"
PASSWORD = "tester's pässword"
BOTH = User("both", native_digest(PASSWORD), sha2_digest(PASSWORD))
OLD = User("old", native_digest(PASSWORD))
NEW = User("new", b"", sha2_digest(PASSWORD))
EMPTY = User("empty", b"", b"")
USERS = (BOTH, OLD, NEW, EMPTY)

FAST = auth_more(b"\x03")
FULL = Ask(auth_more(b"\x04"))


@pytest.fixture(scope="module")
def keys() -> RsaKeys:
    made = RsaKeys()
    made.generate()
    return made


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(USERS)


def machine(
    accounts: Accounts, name: str, *, secure: bool = True, default: str = SHA2, keys: RsaKeys | None = None
) -> Authentication:
    return Authentication(accounts, keys or RsaKeys(), name, default=default, scramble=SCRAMBLE, secure=secure)


def encrypted(password: str, pem: bytes, scramble: bytes = SCRAMBLE) -> bytes:
    key = load_pem_public_key(pem)
    assert isinstance(key, rsa.RSAPublicKey)
    sha1 = hashes.SHA1()
    plain = xor(password.encode() + b"\0", scramble)
    return key.encrypt(plain, padding.OAEP(padding.MGF1(sha1), sha1, None))


# -- arithmetic ---------------------------------------------------------------------------------------------------


def test_the_digest_of_mysql_user() -> None:
    assert native_digest("password").hex().upper() == "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


def test_go_sql_drivers_vector_for_caching_sha2() -> None:
    scramble = bytes([90, 105, 74, 126, 30, 48, 37, 56, 3, 23, 115, 127, 69, 22, 41, 84, 32, 123, 43, 118])
    answer = bytes([102, 32, 5, 35, 143, 161, 140, 241, 171, 232, 56, 139, 43, 14, 107, 196, 249, 170, 147, 60, 220,
                    204, 120, 178, 214, 15, 184, 150, 26, 61, 57, 235])  # fmt: skip
    assert sha2_matches(sha2_digest("secret"), scramble, answer)
    assert not sha2_matches(sha2_digest("Secret"), scramble, answer)


@pytest.mark.parametrize("password", ["x", PASSWORD, "a" * 300])
def test_as_pymysql_computes(password: str) -> None:
    raw = password.encode()
    assert native_matches(native_digest(password), SCRAMBLE, pymysql._auth.scramble_native_password(raw, SCRAMBLE))
    assert sha2_matches(sha2_digest(password), SCRAMBLE, pymysql._auth.scramble_caching_sha2(raw, SCRAMBLE))


@pytest.mark.parametrize("length", [0, 1, 19, 21, 31, 33, 300])
def test_answers_of_another_length_never_match(length: int) -> None:
    assert not native_matches(native_digest("x"), SCRAMBLE, bytes(length))
    assert not sha2_matches(sha2_digest("x"), SCRAMBLE, bytes(length))


def test_an_answer_is_worth_nothing_for_another_scramble() -> None:
    other = SCRAMBLE[::-1]
    assert not native_matches(native_digest("x"), other, native_answer("x", SCRAMBLE))
    assert not sha2_matches(sha2_digest("x"), other, sha2_answer("x", SCRAMBLE))


def test_xor_repeats_the_mask() -> None:
    assert xor(b"", b"ab") == b""
    assert xor(b"\0\0\0\0\0", b"ab") == b"ababa"
    assert xor(xor(b"secret", SCRAMBLE), SCRAMBLE) == b"secret"


# -- mysql_native_password ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [BOTH, OLD])
def test_native(accounts: Accounts, user: User) -> None:
    right = native_answer(PASSWORD, SCRAMBLE)
    assert machine(accounts, user.name, secure=False, default=NATIVE).start(NATIVE, right) == Granted(user)
    wrong = native_answer("wrong", SCRAMBLE)
    assert machine(accounts, user.name, default=NATIVE).start(NATIVE, wrong) == Denied(used=True)
    assert machine(accounts, user.name, default=NATIVE).start(NATIVE, b"") == Denied(used=False)


def test_a_digest_is_no_password(accounts: Accounts) -> None:
    """Who steals the digest must still not get in with it (the answer needs SHA1(password))."""
    stolen = xor(BOTH.native, hashlib.sha1(SCRAMBLE + BOTH.native).digest())
    assert machine(accounts, "both", default=NATIVE).start(NATIVE, stolen) == Denied(used=True)


def test_without_a_password(accounts: Accounts) -> None:
    assert machine(accounts, "empty", default=NATIVE).start(NATIVE, b"") == Granted(EMPTY)
    assert machine(accounts, "empty").start(SHA2, b"") == Granted(EMPTY)
    assert machine(accounts, "empty").start(SHA2, b"\0") == Granted(EMPTY), "libmysqlclient sends the terminator"
    assert machine(accounts, "empty", default=NATIVE).start(NATIVE, native_answer("x", SCRAMBLE)) == Denied(used=True)
    # The digest of the empty string is not that of "no password": nobody can log in by hashing nothing.
    assert machine(accounts, "empty", default=NATIVE).start(NATIVE, native_answer("", SCRAMBLE)) == Denied(used=True)
    started = machine(accounts, "empty")
    assert started.start(SHA2, sha2_answer("x", SCRAMBLE)) == FULL
    assert started.answer(b"\0") == Denied(used=True)


# -- caching_sha2_password ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [BOTH, NEW])
def test_sha2_fast(accounts: Accounts, user: User) -> None:
    right = sha2_answer(PASSWORD, SCRAMBLE)
    assert machine(accounts, user.name, secure=False).start(SHA2, right) == Granted(user, FAST)


@pytest.mark.parametrize("user", [BOTH, OLD, NEW])
def test_sha2_full_through_tls(accounts: Accounts, user: User) -> None:
    started = machine(accounts, user.name)
    assert started.start(SHA2, sha2_answer("mistyped", SCRAMBLE)) == FULL
    assert started.answer(PASSWORD.encode() + b"\0") == Granted(user)
    started = machine(accounts, "both")
    started.start(SHA2, sha2_answer("wrong", SCRAMBLE))
    assert started.answer(b"wrong\0") == Denied(used=True)


@pytest.mark.parametrize("user", [BOTH, OLD, NEW])
def test_sha2_full_with_rsa(accounts: Accounts, user: User, keys: RsaKeys) -> None:
    started = machine(accounts, user.name, secure=False, keys=keys)
    assert started.start(SHA2, sha2_answer("mistyped", SCRAMBLE)) == FULL
    assert started.answer(b"\x02") == Ask(auth_more(keys.pem))
    assert keys.pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert started.answer(encrypted(PASSWORD, keys.pem)) == Granted(user)


def test_a_client_that_has_the_key_already_does_not_ask(accounts: Accounts, keys: RsaKeys) -> None:
    started = machine(accounts, "old", secure=False, keys=keys)
    started.start(SHA2, sha2_answer(PASSWORD, SCRAMBLE))
    assert started.answer(encrypted(PASSWORD, keys.pem)) == Granted(OLD)


def test_the_key_is_made_at_first_need(accounts: Accounts) -> None:
    empty = RsaKeys()
    started = machine(accounts, "old", secure=False, keys=empty)
    started.start(SHA2, sha2_answer(PASSWORD, SCRAMBLE))
    assert started.answer(b"\x02") == NeedKey()
    with pytest.raises(RuntimeError):
        started.answer(b"impatient")
    empty.generate()
    assert started.key_ready() == Ask(auth_more(empty.pem))
    assert started.answer(encrypted(PASSWORD, empty.pem)) == Granted(OLD)


@pytest.mark.parametrize("data", [b"", b"\0", b"\x02\x02", b"tester's password\0", bytes(255), bytes(256), bytes(257)])
def test_without_tls_only_what_rsa_can_read_counts(accounts: Accounts, keys: RsaKeys, data: bytes) -> None:
    started = machine(accounts, "both", secure=False, keys=keys)
    started.start(SHA2, bytes(32))
    assert started.answer(data) == Denied(used=True)
    started = machine(accounts, "both", secure=False, keys=keys)
    started.start(SHA2, bytes(32))
    started.answer(b"\x02")
    assert started.answer(data) == Denied(used=True)


def test_the_clear_password_is_not_taken_without_tls(accounts: Accounts, keys: RsaKeys) -> None:
    started = machine(accounts, "both", secure=False, keys=keys)
    started.start(SHA2, bytes(32))
    assert started.answer(PASSWORD.encode() + b"\0") == Denied(used=True)


def test_an_encrypted_password_belongs_to_one_scramble(accounts: Accounts, keys: RsaKeys) -> None:
    started = machine(accounts, "both", secure=False, keys=keys)
    started.start(SHA2, bytes(32))
    assert started.answer(encrypted(PASSWORD, keys.pem, SCRAMBLE[::-1])) == Denied(used=True)


def test_a_key_is_asked_for_once(accounts: Accounts, keys: RsaKeys) -> None:
    started = machine(accounts, "both", secure=False, keys=keys)
    started.start(SHA2, bytes(32))
    started.answer(b"\x02")
    assert started.answer(b"\x02") == Denied(used=True)


def test_through_tls_a_key_request_is_a_password(accounts: Accounts) -> None:
    started = machine(accounts, "both")
    started.start(SHA2, bytes(32))
    assert started.answer(b"\x02") == Denied(used=True)


def test_a_scramble_of_another_length_gets_no_second_chance(accounts: Accounts) -> None:
    assert machine(accounts, "both").start(SHA2, bytes(20)) == Denied(used=True)


# -- what is learned ----------------------------------------------------------------------------------------------


def proved(accounts: Accounts) -> None:
    started = machine(accounts, "old")
    assert started.start(SHA2, sha2_answer(PASSWORD, SCRAMBLE)) == FULL
    assert started.answer(PASSWORD.encode() + b"\0") == Granted(OLD)


def fast(accounts: Accounts) -> bool:
    step = machine(accounts, "old").start(SHA2, sha2_answer(PASSWORD, SCRAMBLE))
    return isinstance(step, Granted)


def test_a_proved_password_is_remembered(accounts: Accounts) -> None:
    assert not fast(accounts)
    proved(accounts)
    assert fast(accounts)
    wrong = machine(accounts, "old")
    assert wrong.start(SHA2, sha2_answer("wrong", SCRAMBLE)) == FULL
    assert wrong.answer(b"wrong\0") == Denied(used=True)
    assert fast(accounts)


def test_new_users_forget_what_was_learned_of_old_passwords(accounts: Accounts) -> None:
    proved(accounts)
    accounts.replace(USERS)
    assert fast(accounts), "the same password"
    accounts.replace([User("old", native_digest("another"))])
    assert not fast(accounts)
    accounts.replace(USERS)
    assert not fast(accounts), "forgotten, not hidden"


def test_users_may_go(accounts: Accounts) -> None:
    proved(accounts)
    accounts.replace([BOTH])
    started = machine(accounts, "old", default=NATIVE)
    assert started.start(NATIVE, native_answer(PASSWORD, SCRAMBLE)) == Denied(used=True)


def test_nothing_is_learned_for_a_user_that_has_just_changed(accounts: Accounts) -> None:
    started = machine(accounts, "old")
    started.start(SHA2, bytes(32))
    accounts.replace([User("old", native_digest("another"))])
    started.answer(PASSWORD.encode() + b"\0")
    assert accounts.sha2_of(User("old", native_digest("another"))) is None


# -- other plug-ins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("default", [NATIVE, SHA2])
@pytest.mark.parametrize("plugin", ["", "mysql_clear_password", "client_ed25519", "sha256_password"])
def test_another_plugin_is_sent_to_the_default(accounts: Accounts, default: str, plugin: str) -> None:
    started = machine(accounts, "both", default=default)
    assert started.start(plugin, b"whatever") == Ask(auth_switch(default, SCRAMBLE))
    answer = native_answer if default == NATIVE else sha2_answer
    assert isinstance(started.answer(answer(PASSWORD, SCRAMBLE)), Granted)


def test_a_native_client_of_a_sha2_user_is_sent_over(accounts: Accounts) -> None:
    started = machine(accounts, "new", default=NATIVE)
    assert started.start(NATIVE, native_answer(PASSWORD, SCRAMBLE)) == Ask(auth_switch(SHA2, SCRAMBLE))
    assert started.answer(sha2_answer(PASSWORD, SCRAMBLE)) == Granted(NEW, FAST)
    assert machine(accounts, "new", default=NATIVE).start("foo", b"") == Ask(auth_switch(SHA2, SCRAMBLE))


@pytest.mark.parametrize(("plugin", "default"), [(NATIVE, SHA2), (SHA2, NATIVE)])
@pytest.mark.parametrize("data", [b"", bytes(20), bytes(32)])
def test_each_is_known_whatever_the_default(accounts: Accounts, plugin: str, default: str, data: bytes) -> None:
    """libmysqlclient sends no data for a plugin that is not the greeting's, and waits to be asked: MySQL 9's client,
    which has no native plugin, of a server like MariaDB."""
    answer = native_answer if plugin == NATIVE else sha2_answer
    started = machine(accounts, "both", default=default)
    assert started.start(plugin, data) == Ask(auth_switch(plugin, SCRAMBLE))
    assert isinstance(started.answer(answer(PASSWORD, SCRAMBLE)), Granted)
    started = machine(accounts, "empty", default=default)
    assert started.start(plugin, data) == Ask(auth_switch(plugin, SCRAMBLE)), "also without a password"
    assert started.answer(b"") == Granted(EMPTY)


@pytest.mark.parametrize("default", [NATIVE, SHA2])
def test_a_client_from_before_plugins_is_never_sent_to_one(accounts: Accounts, default: str) -> None:
    answer = native_answer(PASSWORD, SCRAMBLE)
    assert machine(accounts, "both", default=default).start(None, answer) == Granted(BOTH)
    assert machine(accounts, "new", default=default).start(None, answer) == Denied(used=True)
    assert machine(accounts, "empty", default=default).start(None, b"") == Granted(EMPTY)


# -- strangers ----------------------------------------------------------------------------------------------------

CONVERSATIONS: dict[str, tuple[str | None, list[bytes]]] = {
    "no plugin": (None, [native_answer("wrong", SCRAMBLE)]),
    "no plugin, no password": (None, [b""]),
    "native": (NATIVE, [native_answer("wrong", SCRAMBLE)]),
    "native, no password": (NATIVE, [b""]),
    "native, odd length": (NATIVE, [b"x"]),
    "sha2": (SHA2, [sha2_answer("wrong", SCRAMBLE), b"wrong\0"]),
    "sha2, no password": (SHA2, [b"\0"]),
    "sha2, then nothing": (SHA2, [sha2_answer("wrong", SCRAMBLE), b""]),
    "sha2, key": (SHA2, [sha2_answer("wrong", SCRAMBLE), b"\x02", bytes(256)]),
    "sha2, odd length": (SHA2, [b"x"]),
    "native, not the default": (NATIVE, [b"", native_answer("wrong", SCRAMBLE)]),
    "sha2, not the default": (SHA2, [b"", sha2_answer("wrong", SCRAMBLE), b"wrong\0"]),
    "another plugin": ("foo", [b"", sha2_answer("wrong", SCRAMBLE), b"wrong\0"]),
    "another plugin, no password": ("foo", [b"", b""]),
}


def conversation(
    accounts: Accounts, name: str, plugin: str | None, sent: list[bytes], *, secure: bool, default: str, keys: RsaKeys
) -> list[Step]:
    started = machine(accounts, name, secure=secure, default=default, keys=keys)
    steps = [started.start(plugin, sent[0])]
    for data in sent[1:]:
        if not isinstance(steps[-1], Ask):
            break
        steps.append(started.answer(data))
    return steps


@pytest.mark.parametrize("default", [NATIVE, SHA2])
@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("what", CONVERSATIONS)
def test_a_stranger_sees_what_a_user_with_a_wrong_password_sees(
    accounts: Accounts, what: str, secure: bool, default: str, keys: RsaKeys
) -> None:
    plugin, sent = CONVERSATIONS[what]
    stranger = conversation(accounts, "nobody", plugin, sent, secure=secure, default=default, keys=keys)
    assert not any(isinstance(step, Granted | NeedKey) for step in stranger)
    for name in ("both", "old"):
        assert conversation(accounts, name, plugin, sent, secure=secure, default=default, keys=keys) == stranger


@pytest.mark.parametrize("name", ["nobody", "", "empty"])
def test_the_decoys_password_opens_nothing(accounts: Accounts, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can know it; but were it known, strangers and users without a password would still not get in."""
    monkeypatch.setattr(auth, "_DECOY", User("", native_digest("decoy"), sha2_digest("decoy")))
    native = machine(accounts, name, default=NATIVE)
    assert native.start(NATIVE, native_answer("decoy", SCRAMBLE)) == Denied(used=True)
    sha2 = machine(accounts, name)
    assert sha2.start(SHA2, sha2_answer("decoy", SCRAMBLE)) == FULL
    assert sha2.answer(b"decoy\0") == Denied(used=True)


def test_the_empty_name_is_a_stranger(accounts: Accounts) -> None:
    assert machine(accounts, "", default=NATIVE).start(NATIVE, b"") == Denied(used=False)


def test_nothing_is_taken_after_the_verdict(accounts: Accounts) -> None:
    for password in (PASSWORD, "wrong"):
        done = machine(accounts, "both", default=NATIVE)
        done.start(NATIVE, native_answer(password, SCRAMBLE))
        with pytest.raises(RuntimeError):
            done.answer(native_answer(PASSWORD, SCRAMBLE))
        with pytest.raises(RuntimeError):
            done.start(NATIVE, native_answer(PASSWORD, SCRAMBLE))
        with pytest.raises(RuntimeError):
            done.key_ready()


def test_secrets_do_not_show(keys: RsaKeys) -> None:
    assert native_digest(PASSWORD).hex() not in repr(Granted(BOTH))
    assert repr(BOTH.native) not in repr(Granted(BOTH))
