"""What literals stand for in columns, case by case. Servers are asked in integration/test_values_on_servers.py."""

from __future__ import annotations

import pytest

from vgate.planner.columns import ColumnKind, ColumnType
from vgate.planner.loose import folding_of
from vgate.planner.values import NEVER, UNKNOWN, Answer, Known, Purpose, read_value
from vgate.sql.lexer import LexMode
from vgate.sql.literals import OTHER, negated, read_literal
from vgate.vindex.base import Value, Vindex
from vgate.vindex.registry import make_vindex


def vindex(type: str) -> Vindex:
    return make_vindex(type, type, {}, read_file=lambda name: name)


HASH, XXHASH, LOOSE, NULL = map(vindex, ("hash", "xxhash", "unicode_loose_xxhash", "null"))
INT = ColumnType("c", "int(11)", ColumnKind.INTEGER, bits=32)
TINY_UNSIGNED = ColumnType("c", "tinyint(3) unsigned", ColumnKind.INTEGER, bits=8, unsigned=True)
BIGINT = ColumnType("c", "bigint(20)", ColumnKind.INTEGER)
BIGINT_UNSIGNED = ColumnType("c", "bigint(20) unsigned", ColumnKind.INTEGER, unsigned=True)
COUNTER = ColumnType("c", "bigint(20)", ColumnKind.INTEGER, nullable=False, auto_increment=True)
MONEY = ColumnType("c", "decimal(5,2)", ColumnKind.DECIMAL, scale=2)
WHOLE = ColumnType("c", "decimal(5,0)", ColumnKind.DECIMAL)
BINARY = ColumnType("c", "binary(4)", ColumnKind.BINARY, 4, fixed=True, charset="binary", collation="binary")
VARBINARY = ColumnType("c", "varbinary(4)", ColumnKind.BINARY, 4, charset="binary", collation="binary")
DATE = ColumnType("c", "date", ColumnKind.DATE)
ANY = ColumnType("c", "", ColumnKind.UNKNOWN)
OTHER_COLUMN = ColumnType("c", "double", ColumnKind.OTHER)


def text(collation: str, sql: str = "varchar(8)", length: int = 8) -> ColumnType:
    charset = collation.partition("_")[0]
    fixed = sql.startswith("char")
    return ColumnType("c", sql, ColumnKind.TEXT, length, fixed=fixed, charset=charset, collation=collation)


EXACT = text("utf8mb4_0900_bin")


def answer(raw: bytes, column: ColumnType, by: Vindex, purpose: Purpose, charset: str = "utf8mb4") -> Answer:
    mode = LexMode(charset=charset)
    literal = negated(read_literal(raw[1:], mode)) if raw[:1] == b"-" else read_literal(raw, mode)
    return read_value(literal, column, by, purpose)


def compare(raw: bytes, column: ColumnType, by: Vindex = HASH, charset: str = "utf8mb4") -> Answer:
    return answer(raw, column, by, Purpose.COMPARE, charset)


def insert(raw: bytes, column: ColumnType, by: Vindex = HASH, charset: str = "utf8mb4") -> Answer:
    return answer(raw, column, by, Purpose.INSERT, charset)


# -- integers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "column", "expected"),
    [
        (b"5", INT, Known(5)),
        (b"007", INT, Known(7)),
        (b"-5", INT, Known(-5)),
        (b"true", INT, Known(1)),
        (b"2147483647", INT, Known(2**31 - 1)),
        (b"2147483648", INT, NEVER),
        (b"-2147483648", INT, Known(-(2**31))),
        (b"-2147483649", INT, NEVER),
        (b"256", TINY_UNSIGNED, NEVER),
        (b"-9223372036854775808", BIGINT, Known(-(2**63))),
        (b"18446744073709551615", BIGINT_UNSIGNED, Known(2**64 - 1)),
        (b"18446744073709551616", BIGINT_UNSIGNED, NEVER),
        (b"-0", BIGINT_UNSIGNED, Known(0)),
        # MySQL takes these for each other in lists
        (b"18446744073709551615", INT, UNKNOWN),
        (b"-1", TINY_UNSIGNED, UNKNOWN),
        (b"1.0", INT, Known(1)),
        (b"-1.000", INT, Known(-1)),
        (b"9223372036854775807.0", BIGINT, Known(2**63 - 1)),
        (b"1." + b"0" * 60, INT, UNKNOWN),
        (b"1.5", INT, UNKNOWN),  # MariaDB looks for 2 in an index
        (b"1e3", INT, Known(1000)),
        (b"15e-1", INT, UNKNOWN),
        (b"9007199254740991e0", BIGINT, Known(2**53 - 1)),
        (b"9007199254740992e0", BIGINT, UNKNOWN),
        (b"1e999", BIGINT, UNKNOWN),
        (b"-1e999", BIGINT, UNKNOWN),
        (b"'5'", INT, Known(5)),
        (b"'-05'", INT, Known(-5)),
        (b"'300'", TINY_UNSIGNED, NEVER),
        (b"'9007199254740991'", BIGINT, Known(2**53 - 1)),
        (b"'9007199254740992'", BIGINT, UNKNOWN),
        (b"''", INT, UNKNOWN),
        (b"' 5'", INT, UNKNOWN),
        (b"'5.0'", INT, UNKNOWN),
        (b"'5x'", INT, UNKNOWN),
        (b"x'05'", INT, UNKNOWN),
        (b"0x05", INT, UNKNOWN),
        (b"b'101'", INT, UNKNOWN),
        (b"_utf8mb4'5'", INT, UNKNOWN),
        (b"n'5'", INT, UNKNOWN),
        (b"-'5'", INT, UNKNOWN),
        (b"null", INT, NEVER),
        (b"now()", INT, UNKNOWN),
    ],
)
def test_integers_compared(raw: bytes, column: ColumnType, expected: Answer) -> None:
    assert compare(raw, column) == expected


@pytest.mark.parametrize(
    ("raw", "column", "expected"),
    [
        (b"5", INT, Known(5)),
        (b"1.0", INT, Known(1)),
        (b"1e2", INT, Known(100)),
        (b"'9223372036854775807'", BIGINT, Known(2**63 - 1)),
        (b"false", INT, Known(0)),
        (b"2147483648", INT, UNKNOWN),
        (b"'2147483648'", INT, UNKNOWN),
        (b"-1", TINY_UNSIGNED, UNKNOWN),
        (b"1.5", INT, UNKNOWN),
        (b"15e-1", INT, UNKNOWN),
        (b"'1.0'", INT, UNKNOWN),
        (b"'x'", INT, UNKNOWN),
        (b"x'31'", INT, UNKNOWN),
        (b"null", INT, Known(None)),
        (b"null", COUNTER, UNKNOWN),
        (b"0", COUNTER, UNKNOWN),
        (b"'0'", COUNTER, UNKNOWN),
        (b"5", COUNTER, Known(5)),
    ],
)
def test_integers_inserted(raw: bytes, column: ColumnType, expected: Answer) -> None:
    assert insert(raw, column) == expected


def test_zero_is_found_in_a_counter() -> None:
    assert compare(b"0", COUNTER) == Known(0)


# -- decimals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "column", "by", "expected"),
    [
        (b"5", MONEY, HASH, Known(5)),
        (b"5", MONEY, XXHASH, Known(b"5.00")),
        (b"5.0", MONEY, XXHASH, Known(b"5.00")),
        (b"-5.5", MONEY, XXHASH, Known(b"-5.50")),
        (b"-0.5", MONEY, HASH, Known(b"-0.50")),
        (b"-5", MONEY, HASH, Known(-5)),
        (b"-0.00", MONEY, XXHASH, Known(b"0.00")),
        (b"5", WHOLE, XXHASH, Known(b"5")),
        (b"-5", WHOLE, XXHASH, Known(b"-5")),
        (b"5.000", WHOLE, HASH, Known(5)),
    ],
)
def test_decimals(raw: bytes, column: ColumnType, by: Vindex, expected: Answer) -> None:
    assert compare(raw, column, by) == insert(raw, column, by) == expected


def test_decimals_that_are_not_stored_as_written() -> None:
    unsigned = ColumnType("c", "decimal(5,2) unsigned", ColumnKind.DECIMAL, scale=2, unsigned=True)
    assert compare(b"5.555", MONEY) == insert(b"5.555", MONEY) == UNKNOWN
    assert compare(b"5e0", MONEY) == insert(b"5e0", MONEY) == UNKNOWN
    assert insert(b"999.99", MONEY, XXHASH) == insert(b"'999.99'", MONEY, XXHASH) == Known(b"999.99")
    assert insert(b"1000", MONEY) == insert(b"'1000'", MONEY) == UNKNOWN
    assert compare(b"'999.99'", MONEY, XXHASH) == UNKNOWN  # as doubles
    assert insert(b"' 1'", MONEY) == insert(b"'1e0'", MONEY) == insert(b"'1.'", MONEY) == UNKNOWN
    assert compare(b"-1", unsigned) == NEVER
    assert insert(b"-1", unsigned) == UNKNOWN
    assert insert(b"1", ColumnType("c", "", ColumnKind.DECIMAL)) == UNKNOWN  # of a precision that nobody knows


# -- text ---------------------------------------------------------------------------------------------------------

CI = text("utf8mb4_0900_ai_ci")
GENERAL = text("utf8mb4_general_ci")
PADDED = text("utf8mb4_bin")
CHAR = text("utf8mb4_bin", "char(8)")
LATIN1 = text("latin1_bin")


@pytest.mark.parametrize(
    ("raw", "column", "by", "expected"),
    [
        (b"'Abc'", EXACT, XXHASH, b"Abc"),
        (b"'a '", EXACT, XXHASH, b"a "),
        (b"'it\\'s'", EXACT, XXHASH, b"it's"),
        ("'é'".encode(), EXACT, XXHASH, "é".encode()),
        (b"'a'", text("utf8mb4_nopad_bin"), XXHASH, b"a"),
        (b"'a'", CI, XXHASH, None),
        (b"'a'", PADDED, XXHASH, None),  # 'a' = 'a '
        (b"'a'", PADDED, LOOSE, b"a"),
        (b"'5'", PADDED, HASH, b"5"),
        (b"'a  '", CHAR, XXHASH, b"a"),
        (b"'a'", CI, LOOSE, b"a"),
        ("'É'".encode(), CI, LOOSE, "É".encode()),
        ("'漢'".encode(), CI, LOOSE, None),
        (b"'ab'", GENERAL, LOOSE, b"ab"),
        (b"'as'", GENERAL, LOOSE, None),  # 's' = 'ß'
        (b"'a'", text("utf8mb4_swedish_ci"), LOOSE, None),
        (b"'5'", CI, HASH, b"5"),
        (b"'5x'", CI, HASH, None),
        ("'５'".encode(), CI, HASH, None),
        ("'é'".encode(), text("latin1_bin", "char(8)"), XXHASH, "é".encode()),
        ("'漢'".encode(), text("latin1_bin", "char(8)"), XXHASH, None),
        ("'😀'".encode(), text("utf8mb3_bin", "char(8)"), XXHASH, None),
        (b"'a@b'", text("swe7_bin", "char(8)"), XXHASH, None),
        (b"'123456789'", EXACT, XXHASH, None),  # longer than the column
        (b"'\xff'", EXACT, XXHASH, None),
        (b"_utf8mb4'a'", EXACT, XXHASH, b"a"),
        (b"_binary'a'", EXACT, XXHASH, b"a"),
        (b"x'61'", EXACT, XXHASH, b"a"),
        (b"x'e9'", LATIN1, LOOSE, "é".encode()),
        (b"x'0061'", text("ucs2_bin"), LOOSE, None),
        (b"x'ff'", EXACT, XXHASH, None),
        (b"n'a'", EXACT, XXHASH, b"a"),
        ("n'é'".encode(), EXACT, XXHASH, None),
        (b"5", EXACT, XXHASH, None),  # as doubles
        (b"1.5", EXACT, XXHASH, None),
        (b"true", EXACT, XXHASH, None),
    ],
)
def test_text_compared(raw: bytes, column: ColumnType, by: Vindex, expected: Value) -> None:
    assert compare(raw, column, by) == (UNKNOWN if expected is None else Known(expected))


def test_text_of_other_clients() -> None:
    assert compare(b"'\xe9'", EXACT, XXHASH, "latin1") == Known("é".encode())
    assert compare(b"'\xc4\xe3'", EXACT, XXHASH, "gbk") == Known("你".encode())
    assert compare(b"'\xa7\xda'", EXACT, XXHASH, "big5") == UNKNOWN
    assert compare(b"'a@b'", EXACT, XXHASH, "swe7") == UNKNOWN
    assert compare(b"'\xc3\xa9'", EXACT, XXHASH, "binary") == Known("é".encode())


@pytest.mark.parametrize(
    ("raw", "column", "by", "expected"),
    [
        (b"'a'", CI, XXHASH, b"a"),
        (b"'a '", PADDED, XXHASH, b"a "),
        (b"'a '", CHAR, XXHASH, b"a"),
        (b"'12345678'", EXACT, XXHASH, b"12345678"),
        (b"'123456789'", EXACT, XXHASH, None),
        (b"'12345678 '", EXACT, XXHASH, None),
        (b"'12345678 '", CHAR, XXHASH, b"12345678"),
        (b"'12'", text("utf8mb4_bin", "tinytext", 8), XXHASH, b"12"),
        (b"'123'", text("utf8mb4_bin", "tinytext", 8), XXHASH, None),  # of 8 bytes
        (b"007", EXACT, XXHASH, b"7"),
        (b"-7", EXACT, HASH, b"-7"),
        (b"1.5", EXACT, XXHASH, None),
        ("'漢'".encode(), LATIN1, XXHASH, None),
        ("'漢'".encode(), CI, LOOSE, "漢".encode()),
        ("'ß'".encode(), GENERAL, LOOSE, "ß".encode()),
        ("'Te\u0301st'".encode(), CI, LOOSE, "Te\u0301st".encode()),
        ("'a\u1ab0'".encode(), CI, LOOSE, None),  # nothing to the collation, a character to the vindex
        ("'a\u1ab0'".encode(), CI, XXHASH, "a\u1ab0".encode()),
        ("'a\u3000'".encode(), CI, LOOSE, None),
        (b"x'61'", EXACT, XXHASH, b"a"),
        (b"x'ff'", EXACT, XXHASH, None),
        (b"x'e9'", LATIN1, XXHASH, "é".encode()),
        (b"x'81'", LATIN1, XXHASH, None),
        (b"'\xff'", EXACT, XXHASH, None),
    ],
)
def test_text_inserted(raw: bytes, column: ColumnType, by: Vindex, expected: Value) -> None:
    assert insert(raw, column, by) == (UNKNOWN if expected is None else Known(expected))


def test_foldings() -> None:
    for name in ("utf8mb4_0900_as_cs", "utf8mb3_unicode_ci", "utf8_general_ci", "utf8mb4_uca1400_nopad_ai_ci"):
        assert folding_of(name) is not None
    for name in ("utf8mb4_de_pb_0900_ai_ci", "utf8mb4_swedish_ci", "latin1_german2_ci", "utf8mb4_0900_bin", "binary"):
        assert folding_of(name) is None
    uca = folding_of("utf8mb4_unicode_ci")
    assert uca is not None
    assert uca.finds("")
    assert uca.finds("Straße a@b.c ")
    assert not any(map(uca.finds, ("a\tb", "a·b", "й", "e\u0301", "a\u00a0")))
    assert uca.admits("")
    assert uca.admits("Привет 世界")
    assert not uca.admits("a \u0301")


# -- bytes, dates, and the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "padded", "bare"),
    [
        (b"'ab'", b"ab\0\0", b"ab"),
        (b"x'6162'", b"ab\0\0", b"ab"),
        (b"0xff", b"\xff\0\0\0", b"\xff"),
        (b"b'1'", b"\1\0\0\0", b"\1"),
        (b"_binary'\xff\\0'", b"\xff\0\0\0", b"\xff\0"),
        (b"'\xff'", b"\xff\0\0\0", b"\xff"),
        (b"n'a'", b"a\0\0\0", b"a"),
    ],
)
def test_bytes(raw: bytes, padded: bytes, bare: bytes) -> None:
    for purpose in Purpose:
        assert answer(raw, BINARY, XXHASH, purpose) == Known(padded)
        assert answer(raw, VARBINARY, XXHASH, purpose) == Known(bare)


def test_bytes_that_are_not_certain() -> None:
    for column in (BINARY, VARBINARY):
        assert compare(b"'abcde'", column) == insert(b"'abcde'", column) == UNKNOWN
        assert compare(b"5", column) == compare(b"1.5", column) == insert(b"1.5", column) == UNKNOWN
        assert compare("n'é'".encode(), column) == insert("n'é'".encode(), column) == UNKNOWN
    assert insert(b"5", VARBINARY) == Known(b"5")
    assert insert(b"''", VARBINARY) == Known(b"")
    assert insert(b"''", BINARY) == UNKNOWN  # NULL under EMPTY_STRING_IS_NULL
    assert compare(b"''", BINARY) == Known(bytes(4))
    assumed = ColumnType("c", "BINARY", ColumnKind.BINARY, 2**32 - 1, fixed=True, charset="binary", collation="binary")
    assert compare(b"'ab'", assumed) == Known(b"ab")


def test_bytes_are_the_clients() -> None:
    assert insert(b"'\xe9'", VARBINARY, XXHASH, "latin1") == Known(b"\xe9")


def test_dates() -> None:
    for purpose in Purpose:
        assert answer(b"'2020-02-29'", DATE, XXHASH, purpose) == Known(b"2020-02-29")
        for raw in (b"'2021-02-29'", b"'0000-00-00'", b"'2020-1-2'", b"'2020-01-02 '", b"'20200102'", b"20200102",
                    b"'2020-01-02 00:00:00'", b"x'323032302d30312d3032'", b"'x'"):  # fmt: skip
            assert answer(raw, DATE, XXHASH, purpose) == UNKNOWN


@pytest.mark.parametrize(("raw", "stored"), [
    (b"date'2020-02-29'", b"2020-02-29"), (b"timestamp'2020-01-02 03:04:05.6'", b"2020-01-02 03:04:05.6"),
    (b"time'-01:02:03'", b"-01:02:03"), (b"TIME'100:00:00'", b"100:00:00"), (b"time'00:00:00'", b"00:00:00"),
    (b"date'2021-02-29'", None), (b"date'2020-1-2'", None), (b"timestamp'2021-02-29 00:00:00'", None),
    (b"timestamp'2020-01-02 24:00:00'", None), (b"time'-00:00:00.0'", None), (b"time'010:00:00'", None),
    (b"time'838:59:59'", None), (b"time'1:02:03'", None), (b"timestamp'2020-01-02'", None),
])  # fmt: skip
def test_dates_and_times_in_text(raw: bytes, stored: bytes | None) -> None:
    """They are stored as they are printed, and compared as what they are."""
    column = text("utf8mb4_0900_bin", "varchar(40)", 40)
    assert insert(raw, column, XXHASH) == (UNKNOWN if stored is None else Known(stored))
    assert compare(raw, column, XXHASH) == UNKNOWN


def test_columns_that_nobody_knows() -> None:
    assert compare(b"5", ANY) == insert(b"5", ANY) == Known(5)
    assert compare(b"-5", ANY) == Known(-5)
    assert compare(b"'5'", ANY) == Known(b"5")
    assert compare(b"'\xe9'", ANY, charset="latin1") == Known("é".encode())
    assert compare(b"x'ff'", ANY) == Known(b"\xff")
    assert compare(b"1.5", ANY) == compare(b"1e0", ANY) == UNKNOWN


def test_other_columns() -> None:
    for raw in (b"5", b"'5'", b"1.5", b"x'05'"):
        assert compare(raw, OTHER_COLUMN) == insert(raw, OTHER_COLUMN) == UNKNOWN


def test_null_and_what_is_no_literal() -> None:
    for column in (INT, MONEY, EXACT, VARBINARY, DATE, ANY, OTHER_COLUMN):
        assert compare(b"null", column) == NEVER
        assert insert(b"null", column) == Known(None)
        assert read_value(OTHER, column, HASH, Purpose.COMPARE) == UNKNOWN
    assert insert(b"null", ColumnType("c", "int", ColumnKind.INTEGER, nullable=False)) == UNKNOWN


def test_the_null_vindex_maps_everything_alike() -> None:
    for raw in (b"5", b"'x'", b"null", b"now()", b"1.5"):
        for column in (INT, CI, OTHER_COLUMN):
            assert compare(raw, column, NULL) == insert(raw, column, NULL) == Known(None)
