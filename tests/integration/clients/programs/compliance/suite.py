"""SQLAlchemy's dialect compliance suite, whole: pytest finds its tests under the names imported here."""

from sqlalchemy.testing.suite import *  # noqa: F403
