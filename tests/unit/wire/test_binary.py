"""What MySQL makes of texts that are bound (9.7, measured; asked in tests/integration/test_packets_compared.py)."""

from __future__ import annotations

import pytest

from vgate.wire.binary import Parameter, fractions_of


@pytest.mark.parametrize(("text", "is_fraction"), [
    (b"3", False), (b"+3", False), (b" 3 ", False), (b"-0", False), (b"007", False), (b"9223372036854775807", False),
    (b"9223372036854775808", True), (b"-3", True), (b"3.5", True), (b".5", True), (b"5.", True), (b"1e3", True),
    (b" -3.5e-1 ", True), (b"3.5x", False), (b"1e", False), (b"", False), (b".", False), (b"-", False), (b"abc", False),
    (b"3 4", False), (b"1.2.3", False), (b" " * (1 << 20) + b"x", False), (b"1" * (1 << 20) + b"x", False),
    (b"1" * (1 << 20), True), (b"0" * (1 << 20) + b"1", False),
])  # fmt: skip
def test_texts_that_mysql_takes_for_decimals(text: bytes, is_fraction: bool) -> None:
    """Long ones are judged in one go."""
    found = fractions_of([Parameter(0x08, False, bytes(8)), Parameter(0xFD, False, text), Parameter(0xFD, False, None)])
    assert found == ({1} if is_fraction else set())
