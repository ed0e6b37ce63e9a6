"""Commands with query attributes become those of a client that has none, and the attributes are all there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.attributes import read_execution, read_query
from vgate.wire.binary import NULL, Parameter
from vgate.wire.binary import read_execution as read_plain
from vgate.wire.packets import MalformedPacket, lenenc, lenenc_bytes

STRING, TINY, DOUBLE, STAMP = 0xFD, 0x01, 0x05, 0x07

values = st.one_of(
    st.builds(Parameter, st.just(STRING), st.just(False), st.one_of(st.none(), st.binary(max_size=300))),
    st.builds(Parameter, st.just(TINY), st.booleans(), st.binary(min_size=1, max_size=1)),
    st.builds(Parameter, st.just(DOUBLE), st.just(False), st.binary(min_size=8, max_size=8)),
    st.builds(Parameter, st.just(STAMP), st.just(False), st.sampled_from([b"", b"abcd", b"abcdefg"])),
    st.just(Parameter(NULL, False, None)),
)
names = st.binary(min_size=1, max_size=20)
named = st.dictionaries(names, values, max_size=12)


def block(parameters: list[tuple[bytes, Parameter]], ahead: set[int]) -> bytes:
    """Bitmap, types with names, and values, as MySQL's clients write them."""
    bitmap = bytearray((len(parameters) + 7) // 8)
    types = written = b""
    for index, (name, one) in enumerate(parameters):
        types += bytes((one.type, 0x80 if one.unsigned else 0)) + lenenc_bytes(name)
        if one.value is None:
            bitmap[index // 8] |= 1 << index % 8
        elif index not in ahead:
            plain = one.type in (TINY, DOUBLE)
            written += one.value if plain else lenenc(len(one.value)) + one.value
    return bytes(bitmap) + b"\1" + types + written


@given(named, st.binary(max_size=50))
def test_a_query(attributes: dict[bytes, Parameter], text: bytes) -> None:
    sent = b"\x03" + lenenc(len(attributes)) + b"\1"
    sent += (block(list(attributes.items()), set()) if attributes else b"") + text
    found, at = read_query(sent, 1)
    assert found == attributes
    assert sent[at:] == text
    for end in range(1, at):
        with pytest.raises(MalformedPacket):
            read_query(sent[:end], 1)


@given(st.lists(values, max_size=10), named, st.sets(st.integers(0, 9)), st.booleans())
def test_an_execution(
    own: list[Parameter], attributes: dict[bytes, Parameter], ahead: set[int], flagged: bool
) -> None:
    ahead = {one for one in ahead if one < len(own) and own[one].value is not None}
    everything = [(b"", one) for one in own] + list(attributes.items())
    flags = 0x09 if flagged or attributes else 0x01
    head = b"\x17" + struct.pack("<IBI", 77, flags, 1)
    counted = own or flags & 0x08
    sent = head + (lenenc(len(everything)) + (block(everything, ahead) if everything else b"") if counted else b"")
    found, payload = read_execution(sent, len(own), ahead)
    assert found == attributes
    plain = read_plain(payload, len(own), None, {one: own[one].value or b"" for one in ahead})
    assert (plain.statement_id, plain.flags, plain.parameters) == (77, 1, own)
    last = attributes and list(attributes.values())[-1].value
    if last:
        with pytest.raises(MalformedPacket):
            read_execution(sent[:-1], len(own), ahead)


def test_an_execution_with_the_types_of_the_one_before() -> None:
    sent = b"\x17" + struct.pack("<IBI", 1, 0, 1) + b"\x01\x00\x00\x05"
    assert read_execution(sent, 1, ()) == ({}, b"\x17" + struct.pack("<IBI", 1, 0, 1) + b"\x00\x00\x05")
    for broken in (b"\x00", b"\x02\x00\x00\x05", b"\xfe" + b"\xff" * 8):
        with pytest.raises(MalformedPacket):
            read_execution(sent[:10] + broken, 1, ())
