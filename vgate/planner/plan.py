"""The sealed set of plan nodes: everything the engine can be asked to do.

A plan is immutable and shared by every statement of its shape, so it names keyspaces, vindexes and *which
literal* feeds them, never values or shards: resharding does not empty the plan cache, and one plan serves every
literal. A literal is named by its slot: its index among the statement's literals as ``sql.lexer`` splits them.
Nodes say what to do, not how: the engine matches on them with ``assert_never``.

This module does not know SQL text beyond slots and does not know how plans are made or run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vgate.errors import VgateError
from vgate.planner.columns import ColumnType
from vgate.vindex.base import Value, Vindex
from vgate.vschema.model import Table, TableName

# -- where a value comes from -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slot:
    """The literal at ``index``; ``negative`` when a minus sign stands before it.

    A slot may hold a list of literals (an IN list): then it stands for every value in it.
    """

    index: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Const:
    """A value fixed by the shape itself (TRUE, NULL, or a literal that stays in the shape)."""

    value: Value


Source = Slot | Const

# -- which keyspace ids a condition allows ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Everything:
    """No condition on the sharding column: every shard."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A condition that no row can meet: no shard."""


@dataclass(frozen=True, slots=True)
class Points:
    """The sharding column equals one of ``sources``; each is read by ``column`` and mapped by ``vindex``.

    At run time a value that cannot equal any stored value maps nowhere; one of which that cannot be known
    (``planner.values``) widens the whole to Everything.
    """

    vindex: Vindex
    column: ColumnType
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """Intersection, by keyspace id."""

    left: Where
    right: Where


@dataclass(frozen=True, slots=True)
class Either:
    """Union."""

    left: Where
    right: Where


Where = Everything | Nothing | Points | Both | Either

# -- what is done with several answers ----------------------------------------------------------------------------


class Access(Enum):
    """What a statement does, as the transaction and retry rules need to know it."""

    READ = "read"
    LOCK = "lock"  # SELECT ... FOR UPDATE and the like: a read that needs its transaction
    WRITE = "write"


# -- the nodes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pass:
    """The client's own text to the one shard of an unsharded keyspace, whatever it says.

    ``others``: unsharded keyspaces on the same server, whose tables it names, too; ``apart``: what is done where the
    session's transaction has connections to them that see what others do not, if anything can.
    """

    keyspace: str
    access: Access
    tables: tuple[TableName, ...] = ()
    others: tuple[str, ...] = ()
    apart: Across | None = None


@dataclass(frozen=True, slots=True)
class AnyShard:
    """A statement that any one shard of the keyspace can answer: without tables of its own (``select 1``), or over
    reference tables. One that locks rows of theirs goes to the first shard, as all who write begin there.

    ``shown``: the table whose definition it shows, where a sequence that belongs to the table is a part of that.
    ``counted``: it shows numbers that each shard has of its own part of the tables.
    """

    keyspace: str
    access: Access
    shown: TableName | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Gathered:
    """A table whose rows are gathered: those of the shards that ``where`` allows, or (``everywhere``) of any one.

    ``references``: how often the statement names it. ``filtered``: the statement's own WHERE is about this table alone
    and can be put to the shards, where the table is then called ``alias``.
    """

    name: TableName
    where: Where
    references: int
    everywhere: bool = False
    filtered: bool = False
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Gather:
    """The rows of ``tables`` are loaded into temporary tables on one server, which runs the client's own text.

    ``lock``: how the rows are locked where they are read; empty: not at all.
    """

    tables: tuple[Gathered, ...]
    lock: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """The client's own text to the shards that ``where`` allows.

    Rows of several shards are concatenated; affected rows are summed. ``single_shard_only`` names the
    construct that needs a merge (``ORDER BY``, ``COUNT``...): if the literals at hand lead to more than one
    shard the statement is gathered (``gather``) or refused with it, or, where it is empty, answered.
    ``others``: conditions of references that are not tied to the rest (a subquery's, a join partner's): the statement
    is answered by a shard only where they all lead to the one shard that ``where`` leads to.
    A where that allows no shard is still run on one: the server then makes the columns of the empty result (or the one
    row of an aggregate), and a bad statement gets its error.
    """

    keyspace: str
    where: Where
    access: Access
    tables: tuple[TableName, ...]
    single_shard_only: str = ""
    others: tuple[Where, ...] = ()
    gather: Gather | None = None


@dataclass(frozen=True, slots=True)
class Across:
    """A query over tables of several keyspaces, gathered on a server of ``keyspace``; ``others`` are the others."""

    keyspace: str
    others: tuple[str, ...]
    access: Access
    tables: tuple[TableName, ...]
    gather: Gather


class OnDuplicate(Enum):
    """What an INSERT does about a row that is already there."""

    ERROR = "error"
    IGNORE = "ignore"
    UPDATE = "update"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT or REPLACE ... VALUES into a sharded table, or into an unsharded one whose ids a sequence fills. Into a
    reference table all rows go to all shards.

    ``columns``: the column list in order, as the text has it or (``implicit_columns``) as the server gave it;
    implicit lists are written into the text sent. ``sharding``: (position in ``columns``, type, vindex) of the
    primary vindex column, None for an unsharded table; a position of None means the column is absent: then it is
    ``generated``, or every row maps as NULL. ``generated``: likewise for the auto_increment column, with its
    sequence. ``returning``: it ends with MariaDB's RETURNING.
    """

    table: Table
    columns: tuple[str, ...]
    implicit_columns: bool
    sharding: InsertKey | None
    generated: InsertId | None
    on_duplicate: OnDuplicate
    returning: bool = False


@dataclass(frozen=True, slots=True)
class InsertKey:
    """The sharding column of an INSERT. ``position`` is None when the column list lacks it.

    ``default`` is what a missing value or DEFAULT stores there (None: NULL or nothing known).
    """

    position: int | None
    column: ColumnType
    vindex: Vindex
    default: Value = None


@dataclass(frozen=True, slots=True)
class InsertId:
    """The auto_increment column of an INSERT. ``position`` is None when the column list lacks it.

    ``bumps``: values that are given move the sequence past them.
    """

    position: int | None
    column: str
    sequence: TableName
    bumps: bool = True


@dataclass(frozen=True, slots=True)
class InsertQuery:
    """INSERT or REPLACE ... SELECT whose rows have to be read first: they are then inserted as rows of VALUES are.

    ``insert``: the plan of that, None for a table that is planned as others of its unsharded keyspace.
    """

    table: TableName
    insert: Insert | None


@dataclass(frozen=True, slots=True)
class NextValue:
    """``SELECT NEXT n VALUES FROM sequence``: one row, one BIGINT column ``nextval``, the first of n."""

    sequence: TableName
    count: Source


@dataclass(frozen=True, slots=True)
class Everywhere:
    """An UPDATE or DELETE of reference tables: the client's own text to every shard, which answer alike."""

    keyspace: str
    tables: tuple[TableName, ...]


@dataclass(frozen=True, slots=True)
class VindexRows:
    """A SELECT from a vindex, as if it were a table (``planner.vindex_functions``)."""

    keyspace: str
    vindex: Vindex


@dataclass(frozen=True, slots=True)
class EveryShard:
    """DDL and other statements that each shard of the keyspace runs once, outside any transaction."""

    keyspace: str
    tables: tuple[TableName, ...]
    implicit_commit: bool = True


@dataclass(frozen=True, slots=True)
class Maintain:
    """ANALYZE, CHECK, CHECKSUM, OPTIMIZE or REPAIR of tables of a sharded keyspace: every shard does its part, and what
    they say of one table is put together.
    """

    keyspace: str
    access: Access


@dataclass(frozen=True, slots=True)
class Flush:
    """FLUSH on every server of the keyspaces.

    ``locks``: a read lock on all tables stays there until UNLOCK TABLES.
    """

    keyspaces: tuple[str, ...]
    locks: bool

    @property
    def keyspace(self) -> str:
        """The first."""
        return self.keyspaces[0]


@dataclass(frozen=True, slots=True)
class Schemas:
    """A query over the servers' own schemas, of several keyspaces or of one whose database has another name.

    One server of the first keyspace answers; what the others' schemas hold is put into the text.
    """

    keyspaces: tuple[str, ...]

    @property
    def keyspace(self) -> str:
        """The keyspace whose server answers."""
        return self.keyspaces[0]


@dataclass(frozen=True, slots=True)
class Refuse:
    """A statement that is not answered, and the error that says why."""

    error: VgateError


Plan = (
    Pass | AnyShard | Route | Across | Insert | InsertQuery | NextValue | VindexRows | Everywhere | EveryShard
    | Maintain | Flush | Schemas | Refuse
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and the slots it looked into: the cache keeps one plan per combination of those literals."""

    plan: Plan
    depends: tuple[int, ...] = ()
