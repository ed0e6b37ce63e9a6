"""The connection phase's packets, as bytes: against the layouts MySQL documents, real clients' bytes, and garbage."""

from __future__ import annotations

import contextlib
import struct

import pymysql.connections
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.frontend.raw_client import response, ssl_request
from vgate.errors import TOO_MANY_CONNECTIONS
from vgate.frontend.greeting import (
    NATIVE,
    OFFERED,
    SHA2,
    Greeting,
    OldClient,
    asks_for_tls,
    auth_more,
    auth_switch,
    charset_of,
    collation_id,
    decode_name,
    early_error,
    offered,
    read_response,
    scramble_of,
    unusable_charset,
)
from vgate.wire.constants import Capability
from vgate.wire.packets import MalformedPacket

SCRAMBLE = b"abcdefghijklmnopqrst"


def test_the_greeting_byte_by_byte() -> None:
    payload = Greeting("9.7.4-vgate", 0x01020304, SCRAMBLE, 0x00ABCDEF, SHA2, 255).payload()
    assert payload == (
        b"\x0a" b"9.7.4-vgate\0" b"\x04\x03\x02\x01" b"abcdefgh" b"\0" b"\xef\xcd" b"\xff" b"\x02\x00" b"\xab\x00"
        b"\x15" b"\0\0\0\0\0\0\0\0\0\0" b"ijklmnopqrst\0" b"caching_sha2_password\0"
    )  # fmt: skip


def test_pymysql_reads_the_greeting() -> None:
    payload = Greeting("10.11.19-MariaDB-vgate", 77, SCRAMBLE, offered(tls=True), NATIVE, 45).payload()

    class Packet:
        def get_all_data(self) -> bytes:
            return payload

    client = pymysql.connections.Connection(defer_connect=True)
    client._read_packet = Packet
    client._get_server_information()
    assert client.server_version == "10.11.19-MariaDB-vgate"
    assert client.server_thread_id == (77,)
    assert client.salt == SCRAMBLE
    assert client.server_capabilities == OFFERED | Capability.SSL
    assert client._auth_plugin_name == NATIVE


def test_what_would_change_the_bytes_of_answers_is_not_offered() -> None:
    for bit in (
        Capability.SESSION_TRACK, Capability.DEPRECATE_EOF,
        Capability.OPTIONAL_RESULTSET_METADATA, Capability.QUERY_ATTRIBUTES, Capability.ZSTD_COMPRESSION,
    ):  # fmt: skip
        assert not offered(tls=True) & bit
    assert offered(tls=False) & Capability.LONG_PASSWORD, "bit 0 keeps MariaDB's clients from their extended bits"
    assert offered(tls=True) ^ offered(tls=False) == Capability.SSL


def test_scrambles_take_any_randomness() -> None:
    scramble = scramble_of(bytes(range(256)))
    assert len(scramble) == 256
    assert not {0, ord("$")} & set(scramble)
    assert all(32 < byte < 127 for byte in scramble)
    assert len(set(scramble)) == 93


def test_small_packets() -> None:
    assert auth_switch(NATIVE, SCRAMBLE) == b"\xfemysql_native_password\0" + SCRAMBLE + b"\0"
    assert auth_more(b"\x04") == b"\x01\x04"
    # Both servers, measured: no SQLSTATE before the client has said that it speaks 4.1.
    assert early_error(TOO_MANY_CONNECTIONS()) == b"\xff\x10\x04Too many connections"


# -- responses ----------------------------------------------------------------------------------------------------


def test_a_full_response() -> None:
    payload = response(
        "root", b"x" * 300, plugin=SHA2, database="customer:-80", collation=255, attributes={"_os": "Linux", "é": "ü"}
    )
    read = read_response(payload, OFFERED)
    assert (read.user, read.auth, read.database, read.plugin) == ("root", b"x" * 300, "customer:-80", SHA2)
    assert read.collation == 255
    assert read.capabilities == OFFERED & ~Capability.COMPRESS
    assert read.attributes == {"_os": "Linux", "é": "ü"}
    assert "xxx" not in repr(read)


def test_flags_that_were_not_offered_are_masked_off() -> None:
    everything = response("u", b"", database="d", flags=0xFFFFFFFF)
    assert read_response(everything, OFFERED).capabilities & ~OFFERED == 0
    assert read_response(response("u", b"", flags=OFFERED | Capability.SSL), OFFERED).capabilities & Capability.SSL == 0


def test_lengths_of_one_byte() -> None:
    flags = OFFERED & ~Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
    read = read_response(response("u", b"x" * 255, flags=flags, database="d"), OFFERED)
    assert (read.auth, read.database) == (b"x" * 255, "d")


def test_a_client_without_plugins() -> None:
    read = read_response(response("u", b"x" * 20, plugin=None), OFFERED)
    assert read.plugin == ""
    assert not read.capabilities & Capability.PLUGIN_AUTH


@pytest.mark.parametrize("cut", [1, len(NATIVE) + 1], ids=["unterminated", "missing"])
def test_the_plugin_may_be_cut_short_as_mysql_forgives(cut: int) -> None:
    read = read_response(response("u", b"")[:-cut], OFFERED)
    assert read.plugin == (NATIVE if cut == 1 else "")


def test_collations_have_two_bytes() -> None:
    assert read_response(response("u", b"", collation=2304), OFFERED).collation == 2304


def test_every_truncation_is_read_or_malformed() -> None:
    payload = response("user", b"x" * 20, database="database", attributes={"a": "b"})
    for size in range(len(payload)):
        try:
            read = read_response(payload[:size], OFFERED)
        except MalformedPacket:
            continue
        assert (read.user, read.database) == ("user", "database")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_malformed(data: bytes, with_flags: bool) -> None:
    if with_flags:
        data = struct.pack("<I", OFFERED) + data
    with contextlib.suppress(MalformedPacket):
        read_response(data, OFFERED)
    with contextlib.suppress(MalformedPacket):
        asks_for_tls(data)


@pytest.mark.parametrize(
    "tail",
    [b"\xff", b"\xfe\0\0", b"\x05\x01a", b"\xfe" + b"\xff" * 8, b"\x02\xfba"],
    ids=["no length", "length cut", "pairs cut", "absurd length", "NULL as a name"],
)
def test_malformed_attributes(tail: bytes) -> None:
    payload = response("u", b"", attributes={})[:-1] + tail
    with pytest.raises(MalformedPacket):
        read_response(payload, OFFERED)


def test_a_client_from_before_4_1() -> None:
    with pytest.raises(OldClient):
        read_response(b"\x05\x00\xff\xff\x00root\0", OFFERED)


def test_ssl_requests() -> None:
    assert asks_for_tls(ssl_request())
    assert asks_for_tls(ssl_request()[:4]), "old Connector/J sends its flags alone"
    assert not asks_for_tls(struct.pack("<IIH22x", OFFERED, 1 << 24, 45))
    assert not asks_for_tls(b"")
    with pytest.raises(MalformedPacket, match="in clear"):
        asks_for_tls(ssl_request() + b"root\0")


# -- character sets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collation", "charset"),
    [(45, "utf8mb4"), (255, "utf8mb4"), (309, "utf8mb4"), (8, "latin1"), (1032, "latin1"), (1069, "utf8mb4"),
     (63, "binary"), (76, ""), (0, ""), (2304, ""), (65535, "")],
)  # fmt: skip
def test_charsets_of_collations(collation: int, charset: str) -> None:
    assert charset_of(collation) == charset


@pytest.mark.parametrize(
    ("raw", "collation", "name"),
    [
        (b"root", 3, "root"),  # dec8: Python has no codec, mysql_mimic fails
        (b"root", 76, "root"),  # an id that mysql_mimic does not know
        ("é".encode(), 45, "é"),
        ("é".encode(), 63, "é"),
        ("é".encode(), 2304, "é"),
        (b"\xe9", 8, "é"),
        (b"\x80", 8, "€"),  # MySQL's latin1 is cp1252
        (b"\xe9", 45, "�"),
        ("Ж".encode("koi8_r"), 7, "Ж"),
        ("あ".encode("euc_jp"), 12, "あ"),
        ("中".encode("gbk"), 28, "中"),
        ("é".encode(), 3, "é"),
        (b"\x81", 8, "�"),
    ],
)
def test_names_in_the_clients_character_set(raw: bytes, collation: int, name: str) -> None:
    assert decode_name(raw, collation) == name


def test_every_collation_decodes_something() -> None:
    for collation in range(2400):
        decode_name(b"\xe9\x80root", collation)


@pytest.mark.parametrize(("collation", "refused"), [(35, "ucs2"), (54, "utf16"), (62, "utf16le"), (60, "utf32"),
                                                    (1078, "utf16"), (45, ""), (8, ""), (999, "")])  # fmt: skip
def test_character_sets_no_client_may_speak(collation: int, refused: str) -> None:
    assert unusable_charset(collation) == refused


@pytest.mark.parametrize(
    ("name", "charset", "expected"),
    [
        ("utf8mb4_0900_ai_ci", "utf8mb4", 255),
        ("utf8mb4_general_ci", "utf8mb4", 45),
        ("utf8mb3_general_ci", "utf8mb3", 33),
        ("latin1_swedish_ci", "latin1", 8),
        ("utf8mb4_uca1400_ai_ci", "utf8mb4", 45),
        ("latin1_swedish_nopad_ci", "latin1", 8),
        ("nobody_knows_ci", "nobody", 45),
    ],
)
def test_the_collation_of_the_greeting(name: str, charset: str, expected: int) -> None:
    assert collation_id(name, charset) == expected
