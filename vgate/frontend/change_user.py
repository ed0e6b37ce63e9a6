"""COM_CHANGE_USER: a client that is in logs in as somebody else, or as itself with everything as at first.

Reads the command and goes through ``frontend.auth`` again, on whatever connection it is given. Everybody is sent to
the plugin they use by an AuthSwitchRequest with a new scramble, as both servers do where they have nothing to go by. It
does not know what a session is, nor how packets get to the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import assert_never

from vgate.errors import ACCESS_DENIED, DATABASE_DENIED, OLD_CLIENT, UNKNOWN_COMMAND, WRONG_VALUE
from vgate.frontend.auth import Ask, Authentication, Denied, Granted, NeedKey
from vgate.frontend.greeting import SCRAMBLE_LENGTH, ChangeUser, read_change_user, scramble_of, unusable_charset
from vgate.frontend.handshake import Reception
from vgate.session.login import Login
from vgate.wire.constants import Capability
from vgate.wire.packets import MalformedPacket

Exchange = Callable[[bytes], Awaitable[bytes]]
"""Sends a payload to the client, and returns that of its answer."""


async def log_in_again(
    reception: Reception, login: Login, payload: bytes, exchange: Exchange, *, secure: bool
) -> tuple[Login, bytes]:
    """The login that a COM_CHANGE_USER leads to, and a payload to send before the OK packet, if not empty.

    Raises VgateError, after which the client has to go.
    """
    try:
        wanted = read_change_user(payload, login.capabilities)
    except MalformedPacket:
        raise UNKNOWN_COMMAND() from None
    if not login.capabilities & Capability.PLUGIN_AUTH:
        raise OLD_CLIENT()
    charset = unusable_charset(wanted.collation)
    if charset:
        raise WRONG_VALUE(name="character_set_client", value=charset)
    granted = await _authenticate(reception, login, wanted, exchange, secure=secure)
    return _entered(reception, login, wanted, granted), granted.before


async def _authenticate(
    reception: Reception, login: Login, wanted: ChangeUser, exchange: Exchange, *, secure: bool
) -> Granted:
    terms = reception.terms
    scramble = scramble_of(reception.random(SCRAMBLE_LENGTH))
    machine = Authentication(
        reception.accounts, reception.keys, wanted.user, default=terms.plugin, scramble=scramble, secure=secure
    )
    step = machine.start_again(wanted.plugin)
    while True:
        match step:
            case Ask(payload=question):
                step = machine.answer(await exchange(question))
            case NeedKey():
                await reception.make_keys()
                step = machine.key_ready()
            case Granted():
                return step
            case Denied(used=used):
                raise ACCESS_DENIED(user=wanted.user, host=login.host, used="YES" if used else "NO")
            case _:
                assert_never(step)


def _entered(reception: Reception, login: Login, wanted: ChangeUser, granted: Granted) -> Login:
    user, database = granted.user, wanted.database
    if database and not reception.allowed(user, database):
        raise DATABASE_DENIED(user=user.name, host=login.host, database=database)
    refusal = reception.refusal(database)
    if refusal is not None:
        raise refusal
    return replace(
        login, user=user.name, database=database, collation=wanted.collation or login.collation,
        keyspaces=user.keyspaces, read_only=user.read_only,
    )  # fmt: skip
