"""What SQLAlchemy's suite may ask of MySQL and MariaDB, which is more than it asks of any database.

Left out, besides what neither server has: foreign keys between two databases, as keyspaces may be on different servers,
and databases that are made, as those are no keyspaces.
What only one flavour has is asked of both: the test compares with a direct connection, which fails as well.
"""

from __future__ import annotations

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_OPEN = """
aggregate_order_by autocommit column_collation_reflection comment_reflection computed_columns computed_columns_stored
computed_columns_virtual create_or_replace_view create_table_as create_temp_table_as ctes ctes_on_dml date_historic
datetime_historic dbapi_lastrowid delete_from emulated_lastrowid except_ expression_server_defaults fetch_first
fetch_no_order_by fk_constraint_option_reflection_ondelete_noaction foreign_key_constraint_name_reflection
foreign_key_constraint_option_reflection_ondelete foreign_key_constraint_option_reflection_onupdate
foreign_keys_reflect_as_index implicit_default_schema indexes_check_column_order intersect isolation_level json_type
mod_operator_as_percent_sign nvarchar_types order_by_label_with_expression percent_schema_names
precision_numerics_enotation_small precision_numerics_many_significant_digits
precision_numerics_retains_significant_digits reflect_table_options regexp_match regexp_replace savepoints
schemas server_defaults skip_autocommit_rollback supports_bitwise_and supports_bitwise_not
supports_bitwise_or supports_bitwise_shift supports_bitwise_xor table_ddl_if_exists tuple_in unicode_ddl
unique_constraints_reflect_as_index unique_index_reflect_as_unique_constraints update_from views window_functions
window_range window_range_numeric
"""


class Requirements(SuiteRequirements):
    """The suite's own, and those above."""

    def get_isolation_levels(self, config: object) -> dict[str, object]:
        levels = ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"]
        return {"default": "REPEATABLE READ", "supported": levels}


for name in _OPEN.split():
    assert hasattr(SuiteRequirements, name), name
    setattr(Requirements, name, property(lambda self: exclusions.open()))  # type: ignore[no-untyped-call]
