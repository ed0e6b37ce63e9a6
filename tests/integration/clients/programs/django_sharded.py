"""A program that migrates Django's contrib apps on a sharded keyspace that shards new tables by itself, and uses them.

Its address is in its environment. It does not know tests. Nothing of Django's is left out or replaced: permissions are
looked for by a query that sorts a join over shards, and the admin's lists count, sort and page.
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

from django.contrib.admin.models import LogEntry  # noqa: E402
from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Count, Max, Q  # noqa: E402


def main() -> None:
    """What a new site does first."""
    call_command("migrate", verbosity=0)
    tables = set(connection.introspection.table_names())
    assert {"auth_user", "django_admin_log", "django_session", "django_content_type"} <= tables, tables
    kinds = ContentType.objects.count()
    assert kinds >= 6, kinds
    assert Permission.objects.count() == 4 * kinds
    labels = [str(one) for one in Permission.objects.all()]  # a join, by app, model and code name
    assert labels == sorted(labels, key=lambda label: label.split(" | ")[0])
    users = [User.objects.create_user(f"user{number}", f"{number}@example.com", "secret") for number in range(8)]
    assert len({user.pk for user in users}) == 8
    group = Group.objects.create(name="staff")
    User.groups.through.objects.create(user=users[3], group=group)  # add() says IGNORE
    for user in users:
        found = User.objects.get(pk=user.pk)
        assert found.username == user.username
        assert found.check_password("secret")
    assert {user.username for user in User.objects.all()} == {f"user{number}" for number in range(8)}
    lists(users, group)
    Session.objects.create(session_key="k1", session_data="x", expire_date=datetime.datetime.now(datetime.UTC))
    assert [one.session_data for one in Session.objects.filter(session_key="k1")] == ["x"]
    call_command("migrate", verbosity=0)
    assert Permission.objects.count() == 4 * kinds


def lists(users: list[User], group: Group) -> None:
    """What an admin site asks for its lists."""
    names = [user.username for user in users]
    assert User.objects.count() == len(users)
    assert [user.username for user in User.objects.order_by("-username")[2:5]] == names[::-1][2:5]
    assert User.objects.aggregate(last=Max("pk"))["last"] == max(user.pk for user in users)
    assert [one.username for one in User.objects.filter(Q(groups=group) | Q(username="user5")).order_by("pk")] == [
        one.username for one in sorted((users[3], users[5]), key=lambda one: one.pk)
    ]
    counted = User.objects.annotate(how_many=Count("groups")).order_by("username").values_list("username", "how_many")
    assert list(counted) == [(name, int(name == "user3")) for name in names]
    assert User.objects.filter(groups__name="staff").exists()
    with transaction.atomic():
        users[0].last_name = "changed"
        users[0].save()
        assert [one.pk for one in User.objects.filter(last_name="changed").order_by("pk").select_for_update()] == [
            users[0].pk
        ]
    permission = Permission.objects.order_by("pk").first()
    assert permission is not None
    User.user_permissions.through.objects.create(user=users[1], permission=permission)
    assert users[1].has_perm(f"{permission.content_type.app_label}.{permission.codename}")
    assert User.objects.exclude(groups=group).filter(is_staff=False).count() == len(users) - 1
    assert LogEntry.objects.select_related("user", "content_type").order_by("-action_time").first() is None


if __name__ == "__main__":
    main()
    print(f"{django.__version__}: all is well")
