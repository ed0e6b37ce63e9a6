"""The catalogue of errors: an id of vgate's own is one error's."""

from __future__ import annotations

from collections import Counter

from vgate import errors
from vgate.errors import Fault


def test_an_id_is_of_one_error() -> None:
    """Vitess has one for everything that is unsupported; vgate's own tell which error it is."""
    own = Counter(one.id for one in vars(errors).values() if isinstance(one, Fault) and one.id.startswith("VG"))
    assert [name for name, times in own.items() if times > 1] == []
