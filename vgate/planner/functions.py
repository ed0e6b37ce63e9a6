"""Names of functions, as far as the planner must tell them apart: aggregates, those of one server, and all built in.

A name that is none of these is a function that users have stored or loaded: it may read tables, of which each shard
has only its part, or may be an aggregate. The names are those of MariaDB 10.11 and MySQL 9. This module does not know
trees.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

_AGGREGATE_NAMES: Final = """
    any_value avg bit_and bit_or bit_xor count cume_dist dense_rank first_value group_concat grouping
    json_arrayagg json_objectagg lag last_value lead max median min nth_value ntile percent_rank percentile_cont
    percentile_disc rank row_number st_collect std stddev stddev_pop stddev_samp sum var_pop var_samp variance
"""
AGGREGATES: Final = frozenset(_AGGREGATE_NAMES.split())
"""Aggregate and window functions."""

SEQUENCES: Final = frozenset({"nextval", "lastval", "setval"})
"""Functions of MariaDB's own sequences: every server counts by itself."""

_SCALAR_NAMES: Final = """
    abs acos add_months adddate addtime aes_decrypt aes_encrypt asin atan atan2 benchmark bin bin_to_uuid
    bit_count bit_length cast ceil ceiling char char_length character_length charset chr coalesce coercibility
    collation column_add column_check column_create column_delete column_exists column_get column_json
    column_list compress concat concat_ws connection_id contains conv convert convert_tz cos cot crc32 crc32c
    curdate current_date current_role current_time current_timestamp current_user curtime database date date_add
    date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear decode default degrees des_decrypt
    des_encrypt elt encode encrypt exp export_set extract extractvalue field find_in_set floor format
    format_bytes format_pico_time found_rows from_base64 from_days from_unixtime from_vector geomcollection
    geometrycollection get_format greatest gtid_subset gtid_subtract hex hour icu_version if ifnull inet6_aton
    inet6_ntoa inet_aton inet_ntoa insert instr interval is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid
    isnull json_array json_array_append json_array_insert json_compact json_contains json_contains_path
    json_depth json_detailed json_equals json_exists json_extract json_insert json_keys json_length json_loose
    json_merge json_merge_patch json_merge_preserve json_normalize json_object json_overlaps json_pretty
    json_query json_quote json_remove json_replace json_schema_valid json_schema_validation_report json_search
    json_set json_storage_free json_storage_size json_type json_unquote json_valid json_value last_day lcase
    least left length lengthb linestring ln load_file localtime localtimestamp locate log log10 log2 lower lpad
    ltrim make_set makedate maketime match md5 microsecond mid minute mod month monthname multilinestring
    multipoint multipolygon name_const natural_sort_key now nullif nvl nvl2 oct octet_length old_password ord
    password period_add period_diff pi point polygon position pow power quarter quote radians rand random_bytes
    regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right round row_count rpad rtrim schema
    sec_to_time second session_user sformat sha sha1 sha2 sign sin sleep soundex space sqrt statement_digest
    statement_digest_text str_to_date strcmp string_to_vector subdate substr substring substring_index subtime
    sys_guid sysdate system_user tan time time_format time_to_sec timediff timestamp timestampadd timestampdiff
    to_base64 to_char to_days to_seconds to_vector trim truncate ucase uncompress uncompressed_length unhex
    unix_timestamp updatexml upper user utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin
    validate_password_strength values vector_dim vector_distance vector_to_string version week weekday
    weekofyear weight_string year yearweek
"""
_SCALARS: Final = frozenset(_SCALAR_NAMES.split())

_KEYWORD_NAMES: Final = """
    after against all and any array as asc before between bigint binary bit blob by character columns cross
    current datetime dec decimal delete desc distinct div double else end error escape except exists fixed float
    following for force from group having ignore in index inner int integer intersect into is join json
    json_table key lateral like limit longblob longtext mediumblob mediumint mediumtext member national nchar
    nested not numeric nvarchar of offset on or order outer over partition precision real recursive regexp
    returning rlike rollup row rows select separator set signed smallint some straight_join table then tinyblob
    tinyint tinytext union unsigned update use using varbinary varchar varying when where window with xor
"""
_KEYWORDS: Final = frozenset(_KEYWORD_NAMES.split())
"""Words that may stand before a parenthesis without being a function."""

_BEFORE_LISTS: Final = frozenset({b"as", b")", b"with", b"recursive"})
"""After these a name is an alias, with its columns in parentheses."""

_TELLING: Final = frozenset({"last_insert_id"})
"""Built-in functions that may change what a session knows: of several servers' the last one would count."""


def tells(root: exp.Expression) -> str:
    """A call that changes what the session knows; '' if there is none."""
    calls = (one for one in root.find_all(exp.Anonymous) if one.name.lower() in _TELLING and one.expressions)
    return next((f"{one.name.upper()}(expression)" for one in calls), "")


def foreign_function(words: tuple[bytes, ...], *, telling: bool = True) -> str:
    """The first function among a statement's words that is not known to be harmless on several servers; '' if none.

    ``telling``: one that ``tells`` is not; words do not say so of one whose argument is a literal.
    """
    for index, word in enumerate(words[:-1]):
        if words[index + 1] != b"(":
            continue
        name = word.decode("utf-8", "replace").strip('`"')
        quoted = name != word.decode("utf-8", "replace")
        if not quoted and not (word[:1].isalpha() or word[:1] in b"_$" or word[0] >= 0x80):
            continue
        before = words[index - 1 : index]
        if before and before[0] in _BEFORE_LISTS:
            continue
        if quoted or before == (b".",):  # of a database: a stored function, whatever its name
            return f"the function {name}(), which vgate does not know"
        if name in _TELLING:
            if telling and words[index + 2 : index + 3] != (b")",):
                return f"{name.upper()}(expression)"
        elif not (name in _SCALARS or name in _KEYWORDS or name in AGGREGATES or name.startswith(("st_", "mbr"))):
            return f"the function {name}(), which vgate does not know"
    return ""


def sequence_function(words: tuple[bytes, ...]) -> str:
    """NEXTVAL and its kin, as a call or in words; '' if there is none."""
    for index, word in enumerate(words):
        after = words[index + 1 : index + 3]
        name = word.decode("utf-8", "replace").strip('`"')
        if name in SEQUENCES and after[:1] == (b"(",):
            return f"{name.upper()}()"
        if word in (b"next", b"previous") and after == (b"value", b"for"):
            return f"{word.decode().upper()} VALUE FOR"
    return ""
