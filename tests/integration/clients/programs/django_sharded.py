"""A program that migrates Django's contrib apps on a sharded keyspace that shards new tables by itself, and uses them.

Its address is in its environment. It does not know tests. Permissions are looked for by a query that sorts a join over
shards, which vgate does not merge yet: that one receiver of ``post_migrate`` is left out.
"""

from __future__ import annotations

import datetime
import os

import django
import pymysql
from django.conf import settings

pymysql.install_as_MySQLdb()
settings.configure(
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "django.contrib.messages"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.mysql", "NAME": os.environ["DB_NAME"], "USER": os.environ["DB_USER"],
        "PASSWORD": os.environ["DB_PASSWORD"], "HOST": os.environ["DB_HOST"], "PORT": os.environ["DB_PORT"],
        "OPTIONS": {"charset": "utf8mb4"},
    }},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True, SECRET_KEY="none", PASSWORD_HASHERS=[
        "django.contrib.auth.hashers.MD5PasswordHasher"
    ],
)  # fmt: skip
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models.signals import post_migrate  # noqa: E402


def main() -> None:
    """What a new site does first."""
    assert post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    call_command("migrate", verbosity=0)
    tables = set(connection.introspection.table_names())
    assert {"auth_user", "django_admin_log", "django_session", "django_content_type"} <= tables, tables
    users = [User.objects.create_user(f"user{number}", f"{number}@example.com", "secret") for number in range(8)]
    assert len({user.pk for user in users}) == 8
    group = Group.objects.create(name="staff")
    User.groups.through.objects.create(user=users[3], group=group)  # add() says IGNORE
    for user in users:
        found = User.objects.get(pk=user.pk)
        assert found.username == user.username
        assert found.check_password("secret")
    assert {user.username for user in User.objects.all()} == {f"user{number}" for number in range(8)}
    Session.objects.create(session_key="k1", session_data="x", expire_date=datetime.datetime.now(datetime.UTC))
    assert [one.session_data for one in Session.objects.filter(session_key="k1")] == ["x"]
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    main()
    print(f"{django.__version__}: all is well")
