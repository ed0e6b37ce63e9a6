"""From conditions to keyspace ids: the algebra, and that the fast way gives what the whole way gives."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vgate.planner.columns import ColumnKind, ColumnType
from vgate.planner.plan import Access, Both, Const, Either, Everything, Nothing, Points, Route, Slot, Source, Where
from vgate.planner.resolve import KeyspaceIds, fast_point, number_point, resolve
from vgate.sql.lexer import LexMode, Slots
from vgate.vindex.base import KeyspaceId, Value, Vindex
from vgate.vindex.registry import make_vindex

MODE = LexMode()


def vindex(type: str) -> Vindex:
    return make_vindex(type, type, {}, read_file=lambda name: name)


HASH, XXHASH, NUMERIC = map(vindex, ("hash", "xxhash", "numeric"))
BIGINT = ColumnType("id", "bigint(20)", ColumnKind.INTEGER)
TINY = ColumnType("id", "tinyint(4)", ColumnKind.INTEGER, bits=8)
NAME = ColumnType("name", "varchar(9)", ColumnKind.TEXT, 9, charset="utf8mb4", collation="utf8mb4_nopad_bin")


def points(*sources: Source, column: ColumnType = BIGINT, by: Vindex = HASH) -> Points:
    return Points(by, column, sources)


def ids(*values: Value, by: Vindex = HASH) -> frozenset[KeyspaceId]:
    return frozenset(found for value in values if (found := by.map(value)) is not None)


def route(where: Where, others: tuple[Where, ...] = ()) -> Route:
    return Route("ks", where, Access.READ, (), others=others)


FIRST, SECOND = points(Slot(0)), points(Slot(1))
EVERYTHING = Everything()


@pytest.mark.parametrize(
    ("where", "slots", "expected"),
    [
        (EVERYTHING, [], EVERYTHING),
        (Nothing(), [], ids()),
        (FIRST, [b"5"], ids(5)),
        (SECOND, [b"5", b"6"], ids(6)),
        (points(Slot(0, negative=True)), [b"5"], ids(-5)),
        (points(Slot(0, negative=True)), [b"1.0"], ids(-1)),
        (points(Slot(0, negative=True)), [b"'5'"], EVERYTHING),
        (points(Slot(0), Slot(1, negative=True)), [b"5", b"6"], ids(5, -6)),
        (points(Slot(0), Const(7)), [b"5"], ids(5, 7)),
        (FIRST, [[b"1", b"2", b"2", b"'3'"]], ids(1, 2, 3)),
        (points(Slot(0), column=TINY), [[b"1", b"4e0", b"300"]], ids(1, 4)),
        (FIRST, [[b"1", b"1.5"]], EVERYTHING),
        (FIRST, [[b"1"]], ids(1)),
        (FIRST, [[]], ids()),
        (points(Slot(0, negative=True)), [[b"1", b"2"]], ids(-1, -2)),
        (FIRST, [b"x'05'"], EVERYTHING),
        (points(Slot(0), column=TINY), [b"128"], ids()),
        (FIRST, [b"9223372036854775808"], EVERYTHING),
        (FIRST, [b"null"], ids()),
        (points(Const(None)), [], ids()),
        (points(Const(None), by=XXHASH), [], ids()),  # NULL equals nothing, though the vindex maps it
        (points(Const(5)), [], ids(5)),
        (points(Const(b"5")), [], ids(5)),
        (points(Const(b"a"), column=NAME, by=XXHASH), [], ids(b"a", by=XXHASH)),
        (points(Const("é".encode()), column=NAME, by=XXHASH), [], EVERYTHING),
        (points(Slot(0, negative=True), by=NUMERIC), [b"5"], ids()),  # has no keyspace id
        (points(Slot(0), column=NAME), [b"'x'"], ids()),
        (Both(FIRST, SECOND), [b"5", b"5"], ids(5)),
        (Both(FIRST, SECOND), [b"5", b"6"], ids()),
        (Both(FIRST, SECOND), [[b"5", b"6"], [b"6", b"7"]], ids(6)),
        (Both(FIRST, EVERYTHING), [b"5"], ids(5)),
        (Both(EVERYTHING, FIRST), [b"5"], ids(5)),
        (Both(EVERYTHING, EVERYTHING), [], EVERYTHING),
        (Both(FIRST, SECOND), [b"5", b"1.5"], ids(5)),
        (Both(FIRST, Nothing()), [b"5"], ids()),
        (Either(FIRST, SECOND), [b"5", b"6"], ids(5, 6)),
        (Either(FIRST, SECOND), [b"5", b"1.5"], EVERYTHING),
        (Either(EVERYTHING, FIRST), [b"5"], EVERYTHING),
        (Either(FIRST, Nothing()), [b"5"], ids(5)),
        (Both(Either(FIRST, SECOND), points(Slot(2))), [b"5", b"6", b"6"], ids(6)),
    ],
)
def test_resolve(where: Where, slots: Slots, expected: KeyspaceIds) -> None:
    assert resolve(where, slots, MODE) == expected


def test_signed_and_unsigned_numbers_meet_by_keyspace_id() -> None:
    """The intersection is by id, not by value: -1 and 2^64-1 are one id to the hash vindex."""
    unsigned = ColumnType("id", "bigint(20) unsigned", ColumnKind.INTEGER, unsigned=True)
    where = Both(points(Slot(0, negative=True)), points(Slot(1), column=unsigned))
    assert resolve(where, [b"1", b"18446744073709551615"], MODE) == ids(-1)


def test_a_keyspace_id_that_is_not_certain_widens_to_everything() -> None:
    """U+9FFF is an ideograph only to newer releases of Go: the vindex raises, and every shard is asked."""
    column = ColumnType("c", "varchar(9)", ColumnKind.TEXT, 9, charset="utf8mb4", collation="utf8mb4_bin")
    where = points(Slot(0), column=column, by=vindex("unicode_loose_md5"))
    doubtful = "\u9ffd\u9ffe\u9fff\U0003134b\U0003ffff"
    answers = {char: resolve(where, [f"'{char}'".encode()], MODE) for char in doubtful}
    assert EVERYTHING in answers.values()
    point = fast_point(route(where), MODE)
    assert point is not None
    for char, answer in answers.items():
        assert (point([f"'{char}'".encode()]) is None) == isinstance(answer, Everything)


def test_a_long_list_is_read_whole() -> None:
    numbers = [b"%d" % number for number in range(3000)]
    assert resolve(FIRST, [numbers], MODE) == ids(*range(3000))
    assert resolve(FIRST, [[*numbers, b"now()"]], MODE) == EVERYTHING


# -- the fast way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        EVERYTHING, Nothing(), points(), points(Const(5)), points(Slot(0), Slot(1)), points(Slot(0, negative=True)),
        Both(FIRST, SECOND), Either(FIRST, FIRST),
    ],
)  # fmt: skip
def test_only_one_column_and_one_literal_are_fast(where: Where) -> None:
    assert fast_point(route(where)) is None


def test_conditions_that_must_agree_are_not_fast() -> None:
    assert fast_point(route(FIRST, others=(SECOND,)), MODE) is None


@pytest.mark.parametrize(
    ("column", "raw", "expected"),
    [
        (BIGINT, b"5", 5),
        (BIGINT, b"0", 0),
        (BIGINT, b"007", 7),
        (BIGINT, b"9223372036854775807", 2**63 - 1),
        (BIGINT, b"9223372036854775808", None),
        (BIGINT, b"'5'", 5),
        (BIGINT, b"5.0", None),
        (BIGINT, [b"5"], None),
        (BIGINT, b"", None),
        (TINY, b"127", 127),
        (TINY, b"128", None),
        (TINY, b"'128'", None),
        (NAME, b"'123456789'", b"123456789"),
        (NAME, b"'1234567890'", None),
        (NAME, b"'5\\n'", None),
        (NAME, b'"5"', None),
        (NAME, b"5", None),
        (NAME, [b"'5'", b"'6'"], None),
    ],
)
def test_what_is_read_at_a_glance(column: ColumnType, raw: bytes | list[bytes], expected: Value) -> None:
    point = fast_point(route(points(Slot(1), column=column)))
    assert point is not None
    assert point([b"'other'", raw]) == (None if expected is None else HASH.map(expected))


def test_with_a_mode_every_literal_is_read() -> None:
    numbers = fast_point(route(points(Slot(0))), MODE)
    negative = fast_point(route(points(Slot(0, negative=True))), MODE)
    texts = fast_point(route(points(Slot(0), column=NAME, by=XXHASH)), MODE)
    assert numbers is not None
    assert negative is not None
    assert texts is not None
    assert numbers([b"5.0"]) == HASH.map(5)
    assert numbers([b"x'05'"]) is None
    assert numbers([b"9223372036854775808"]) is None
    assert negative([b"5"]) == HASH.map(-5)
    assert negative([[b"5"]]) is None
    assert texts([b"'a@\\'b'"]) == XXHASH.map(b"a@'b")
    assert texts([b"'a@b'"]) == XXHASH.map(b"a@b")


VINDEXES = [vindex(type) for type in ("hash", "numeric", "reverse_bits", "binary", "xxhash", "binary_md5", "null",
                                      "unicode_loose_md5", "unicode_loose_xxhash")]  # fmt: skip
COLUMNS = [
    *(ColumnType("c", "int", ColumnKind.INTEGER, bits=bits, unsigned=unsigned)
      for bits in (8, 32, 64) for unsigned in (False, True)),
    *(ColumnType("c", "varchar(5)", ColumnKind.TEXT, 5, charset=collation.partition("_")[0], collation=collation)
      for collation in ("utf8mb4_0900_bin", "utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_0900_ai_ci", "swe7_bin",
                        "latin1_swedish_ci", "sjis_bin", "utf8mb4_swedish_ci", "latin1_bin")),
    ColumnType("c", "char(5)", ColumnKind.TEXT, 5, fixed=True, charset="utf8mb4", collation="utf8mb4_bin"),
    ColumnType("c", "tinytext", ColumnKind.TEXT, 12, charset="utf8mb4", collation="utf8mb4_0900_bin"),
    ColumnType("c", "varbinary(5)", ColumnKind.BINARY, 5, charset="binary", collation="binary"),
    ColumnType("c", "binary(5)", ColumnKind.BINARY, 5, fixed=True, charset="binary", collation="binary"),
    ColumnType("c", "decimal(9,2)", ColumnKind.DECIMAL, scale=2),
    ColumnType("c", "date", ColumnKind.DATE),
    ColumnType("c", "", ColumnKind.UNKNOWN),
    ColumnType("c", "double", ColumnKind.OTHER),
]  # fmt: skip
MODES = [LexMode(), LexMode(no_backslash_escapes=True), LexMode(ansi_quotes=True),
         *(LexMode(charset=charset) for charset in ("latin1", "gbk", "swe7", "binary", "utf8mb3"))]  # fmt: skip

RAWS = st.one_of(
    st.integers(0, 300).map(lambda number: b"%d" % number),
    st.sampled_from([2**31, 2**53, 2**63, 2**64]).flatmap(
        lambda edge: st.integers(edge - 2, edge + 2).map(lambda number: b"%d" % number)
    ),
    st.text("aAsSyYß é@[]\\'\"~5漢\t", max_size=6).map(lambda text: b"'" + text.encode() + b"'"),
    st.text("0123", max_size=6).map(lambda text: b"'" + text.encode() + b"'"),
    st.binary(max_size=6),
    st.sampled_from([b"1.0", b"1e0", b"x'61'", b"0x61", b"null", b"'2020-01-02'", b"n'a'"]),
)


@given(
    RAWS, st.sampled_from(COLUMNS), st.sampled_from(VINDEXES), st.sampled_from(MODES), st.booleans(), st.booleans()
)
@example(b"'@'", COLUMNS[6], VINDEXES[4], LexMode(charset="swe7"), False, False)
@example(b"'a  '", COLUMNS[15], VINDEXES[4], LexMode(), False, False)
def test_the_fast_way_never_disagrees(
    raw: bytes, column: ColumnType, by: Vindex, mode: LexMode, negative: bool, told: bool
) -> None:
    where = points(Slot(0, negative), column=column, by=by)
    point = fast_point(route(where), mode if told else None)
    if point is None:
        return
    found = point([raw])
    whole = resolve(where, [raw], mode)
    number = number_point(route(where))
    if number is not None and raw.isdigit() and len(raw) <= len(str(number[1])) and int(raw) <= number[1]:
        assert number[2](int(raw)) == found
    if found is not None:
        assert whole == frozenset((found,))
    elif told:
        assert isinstance(whole, Everything) or not whole


@given(st.lists(RAWS, max_size=5), st.sampled_from(COLUMNS), st.sampled_from(VINDEXES), st.sampled_from(MODES))
def test_a_list_is_the_union_of_its_literals(raws: list[bytes], column: ColumnType, by: Vindex, mode: LexMode) -> None:
    where = points(Slot(0), column=column, by=by)
    single = [resolve(where, [raw], mode) for raw in raws]
    found = resolve(where, [raws], mode)
    if any(isinstance(one, Everything) for one in single):
        assert found == EVERYTHING
    else:
        assert found == frozenset().union(*(one for one in single if not isinstance(one, Everything)))
