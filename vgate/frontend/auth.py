"""Checking who a client is: mysql_native_password and caching_sha2_password, as one pure state machine.

It takes what the client sends and says what to send back, or the verdict. It does not know sockets, packet headers,
nor what the user may do once in.

Invariants
1. Every conversation ends with exactly one ``Granted`` or ``Denied``, after which nothing is taken any more.
2. What is sent depends on what the client sent and on whether it is right, never on whether the user exists: an
   unknown user is checked against a decoy, by the same steps. (A user for whom only a caching_sha2 digest is known
   is the exception: clients of the native plugin have to be sent to the other one.)
3. A clear password is only ever looked at when it came through TLS, a unix socket or RSA; it is not kept.
4. Digests are compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vgate.config import User
from vgate.frontend.greeting import NATIVE, SHA2, auth_more, auth_switch

FAST_OK: Final = b"\x03"
FULL_PLEASE: Final = b"\x04"
KEY_REQUEST: Final = b"\x02"
NO_PASSWORD: Final = (b"", b"\0")
"""What clients without a password send: nothing, or (caching_sha2_password of libmysqlclient) its terminator."""

_DECOY: Final = User("", native=secrets.token_bytes(20), sha2=secrets.token_bytes(32))
"""Whoever is not a user is checked against this, so that it takes as long."""


# -- digests ------------------------------------------------------------------------------------------------------


def xor(data: bytes, mask: bytes) -> bytes:
    """``data`` with ``mask`` over it, repeated as often as needed."""
    size = len(data)
    repeated = (mask * (size // len(mask) + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def native_matches(digest: bytes, scramble: bytes, answer: bytes) -> bool:
    """True if ``answer`` is SHA1(password) XOR SHA1(scramble + digest), ``digest`` being SHA1(SHA1(password))."""
    if len(answer) != 20:
        return False
    once = xor(answer, hashlib.sha1(scramble + digest).digest())
    return hmac.compare_digest(hashlib.sha1(once).digest(), digest)


def sha2_matches(digest: bytes, scramble: bytes, answer: bytes) -> bool:
    """True if ``answer`` is SHA256(password) XOR SHA256(digest + scramble), ``digest`` being SHA256(SHA256(password)).

    The scramble comes last here, and first in the native plugin.
    """
    if len(answer) != 32:
        return False
    once = xor(answer, hashlib.sha256(digest + scramble).digest())
    return hmac.compare_digest(hashlib.sha256(once).digest(), digest)


# -- what is known of users ---------------------------------------------------------------------------------------


class Accounts:
    """The users, and the caching_sha2 digests learned from those who logged in with their clear password."""

    def __init__(self, users: Iterable[User]) -> None:
        self._users: dict[str, User] = {}
        self._learned: dict[str, tuple[bytes, bytes]] = {}
        self.replace(users)

    def replace(self, users: Iterable[User]) -> None:
        """Other users from now on; what was learned of a password stays as long as the password does."""
        self._users = {user.name: user for user in users}
        self._learned = {
            name: known for name, known in self._learned.items()
            if name in self._users and self._users[name].native == known[0]
        }  # fmt: skip

    def find(self, name: str) -> User | None:
        """The user of that name."""
        return self._users.get(name)

    def sha2_of(self, user: User) -> bytes | None:
        """The user's caching_sha2 digest: the configured one, or the one learned."""
        if user.sha2:
            return user.sha2
        native, sha2 = self._learned.get(user.name, (b"", b""))
        return sha2 if sha2 and native == user.native else None

    def learn(self, user: User, sha2: bytes) -> None:
        """``user`` has proved a password whose digest was not known."""
        if self._users.get(user.name) == user and not user.sha2:
            self._learned[user.name] = (user.native, sha2)


class RsaKeys:
    """The key pair that passwords come encrypted with where there is no TLS. Made in memory at first need."""

    def __init__(self) -> None:
        self._key: rsa.RSAPrivateKey | None = None
        self.pem = b""

    def generate(self) -> None:
        """Make the pair. Takes a tenth of a second or more, so not in the event loop's thread."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._key, self.pem = key, pem

    def decrypt(self, data: bytes) -> bytes | None:
        """The plain text of RSA-OAEP (SHA-1, as MySQL has it); None for anything else."""
        if self._key is None or len(data) != self._key.key_size // 8:
            return None
        sha1 = hashes.SHA1()
        try:
            return self._key.decrypt(data, padding.OAEP(mgf=padding.MGF1(sha1), algorithm=sha1, label=None))
        except ValueError:
            return None


# -- the machine --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this payload and come back with the client's answer."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class NeedKey:
    """Make the RSA keys, then call ``key_ready``."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The client is ``user``. ``before`` is a payload to send before the OK packet, if not empty."""

    user: User
    before: bytes = b""


@dataclass(frozen=True, slots=True)
class Denied:
    """The client is not who it says. ``used`` tells whether it sent a password at all."""

    used: bool


Step = Ask | NeedKey | Granted | Denied


class _State(Enum):
    START = auto()
    SWITCHED = auto()  # an AuthSwitchRequest was sent; a scrambled password comes
    FULL = auto()  # the clear password comes, or (without TLS) a request for the key, or the encrypted password
    MAKING_KEY = auto()
    ENCRYPTED = auto()  # the key was sent; the encrypted password comes
    OVER = auto()


class Authentication:
    """One client's. ``default`` is the greeting's plugin; ``secure`` tells whether eavesdroppers are out of reach."""

    __slots__ = ("_accounts", "_default", "_keys", "_plugin", "_scramble", "_secure", "_state", "_subject", "_user")

    def __init__(
        self, accounts: Accounts, keys: RsaKeys, name: str, *, default: str, scramble: bytes, secure: bool
    ) -> None:
        self._accounts = accounts
        self._keys = keys
        self._default = default
        self._scramble = scramble
        self._secure = secure
        self._user = accounts.find(name)
        self._subject = self._user or _DECOY
        self._plugin = ""
        self._state = _State.START

    def start(self, plugin: str | None, data: bytes) -> Step:
        """The client's handshake response: the plugin it used, and what that made of password and scramble.

        None is a client from before plugins: its own is the native one, and it cannot be sent to another. The
        others' data are theirs only for the greeting's plugin. For any other one libmysqlclient sends no data at
        all, and waits for an AuthSwitchRequest: an OK would confuse it even if it has no password.
        """
        if self._state is not _State.START:
            raise RuntimeError("authentication starts once")
        if plugin is None:
            self._plugin = NATIVE
            return self._scrambled(data)
        wanted = plugin if plugin in (NATIVE, SHA2) else self._default
        if wanted == NATIVE and self._sha2_only:
            wanted = SHA2
        if wanted != plugin or wanted != self._default:
            return self._switch(wanted)
        self._plugin = plugin
        return self._scrambled(data)

    def start_again(self, plugin: str) -> Step:
        """COM_CHANGE_USER instead of a handshake response. What it may say of a password is not made with this
        scramble, so every client is sent to its plugin.
        """
        if self._state is not _State.START:
            raise RuntimeError("authentication starts once")
        wanted = plugin if plugin in (NATIVE, SHA2) else self._default
        return self._switch(SHA2 if wanted == NATIVE and self._sha2_only else wanted)

    def answer(self, data: bytes) -> Step:
        """The payload of the client's next packet."""
        match self._state:
            case _State.SWITCHED:
                return self._scrambled(data)
            case _State.FULL if self._secure:
                return self._clear(data.removesuffix(b"\0"))
            case _State.FULL if data == KEY_REQUEST:
                self._state = _State.MAKING_KEY
                return self.key_ready() if self._keys.pem else NeedKey()
            case _State.FULL | _State.ENCRYPTED:
                return self._encrypted(data)
            case _:
                raise RuntimeError(f"no answer was asked for: {self._state}")

    def key_ready(self) -> Step:
        """The RSA keys are there."""
        if self._state is not _State.MAKING_KEY:
            raise RuntimeError("no key was asked for")
        self._state = _State.ENCRYPTED
        return Ask(auth_more(self._keys.pem))

    # -- steps ----------------------------------------------------------------------------------------------------

    @property
    def _sha2_only(self) -> bool:
        return not self._subject.native and bool(self._subject.sha2)

    def _switch(self, plugin: str) -> Step:
        """Send the client to another plugin, with the greeting's scramble again, as MySQL does."""
        self._plugin = plugin
        self._state = _State.SWITCHED
        return Ask(auth_switch(plugin, self._scramble))

    def _scrambled(self, data: bytes) -> Step:
        subject = self._subject
        if data in NO_PASSWORD:
            return self._verdict(not subject.native and not subject.sha2, used=False)
        if self._plugin == NATIVE:
            # A user without a password is compared with the decoy, and never matches.
            matches = native_matches(subject.native or _DECOY.native, self._scramble, data)
            return self._verdict(matches and bool(subject.native))
        if len(data) != 32:  # as MySQL: no second chance
            return self._verdict(False)
        digest = self._accounts.sha2_of(subject)
        matches = sha2_matches(digest or _DECOY.sha2 or b"", self._scramble, data)
        if matches and digest and self._user is not None:
            return self._verdict(True, before=auth_more(FAST_OK))
        self._state = _State.FULL
        return Ask(auth_more(FULL_PLEASE))

    def _encrypted(self, data: bytes) -> Step:
        plain = self._keys.decrypt(data)
        if plain is None:
            return self._verdict(False)
        password, _, _ = xor(plain, self._scramble).partition(b"\0")
        return self._clear(password)

    def _clear(self, password: bytes) -> Step:
        subject = self._subject
        native = hashlib.sha1(hashlib.sha1(password).digest()).digest()
        sha2 = hashlib.sha256(hashlib.sha256(password).digest()).digest()
        if subject.sha2:
            matches = hmac.compare_digest(sha2, subject.sha2)
        else:
            matches = hmac.compare_digest(native, subject.native or _DECOY.native) and bool(subject.native)
        if matches and password and self._user is not None:
            self._accounts.learn(self._user, sha2)
            return self._verdict(True)
        return self._verdict(False)

    def _verdict(self, right: bool, *, used: bool = True, before: bytes = b"") -> Step:
        self._state = _State.OVER
        if right and self._user is not None:
            return Granted(self._user, before)
        return Denied(used)
