"""A program that uses Django over PyMySQL: migrations and admin's models on an unsharded keyspace, or ids on any.

Its address is in its environment. It does not know tests.
"""

from __future__ import annotations

import datetime
import decimal
import os
from typing import Any

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
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, models, transaction  # noqa: E402


class Person(models.Model):  # type: ignore[misc]
    """A table that is there."""

    name: Any = models.CharField(max_length=100)
    born: Any = models.DateField(null=True)
    seen: Any = models.DateTimeField(null=True)
    price: Any = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    data: Any = models.BinaryField(null=True)

    class Meta:
        app_label = "auth"
        db_table = "person"
        managed = False


def admin() -> None:
    """What a new site does first."""
    call_command("migrate", verbosity=0)
    call_command("check", databases=["default"], tags=["database"])
    user = User.objects.create_superuser("root", "root@example.com", "secret")
    group = Group.objects.create(name="staff")
    user.groups.add(group)
    assert User.objects.filter(groups__name="staff", is_superuser=True).count() == 1
    assert [one.username for one in User.objects.order_by("-date_joined")[:5]] == ["root"]
    assert user.check_password("secret")
    assert user.get_all_permissions()
    tables = connection.introspection.table_names()
    assert {"auth_user", "django_admin_log", "django_session"} <= set(tables), tables
    call_command("migrate", "admin", "zero", verbosity=0)
    call_command("migrate", verbosity=0)


def orm() -> None:
    """Rows with generated ids."""
    seen = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=datetime.UTC)
    person = Person.objects.create(
        name="Zoë 🐍", born=datetime.date(1999, 12, 31), seen=seen, price=decimal.Decimal("1.5"), data=b"\0\xff"
    )
    found = Person.objects.get(pk=person.pk)
    assert (found.name, found.seen, found.price) == ("Zoë 🐍", seen, decimal.Decimal("1.5"))
    assert bytes(found.data) == b"\0\xff"
    many = Person.objects.bulk_create([Person(name=f"many {n}") for n in range(30)])
    if connection.features.can_return_rows_from_bulk_insert:
        assert Person.objects.get(pk=many[7].pk).name == "many 7"
    try:
        with transaction.atomic():
            Person.objects.filter(name__startswith="many").update(name="renamed")
            with transaction.atomic():
                Person.objects.create(pk=person.pk, name="again")
    except IntegrityError as error:
        if error.args[0] != 1062:
            raise
    assert sum(1 for one in Person.objects.iterator() if one.name.startswith("many")) == 30
    found.name = "changed"
    found.save()
    found.refresh_from_db()
    assert found.name == "changed"
    assert Person.objects.filter(pk=person.pk).exists()
    assert Person.objects.filter(pk=person.pk).count() == 1
    assert Person.objects.get_or_create(pk=person.pk, defaults={"name": "x"})[1] is False
    assert found.delete()[0] == 1
    with connection.cursor() as cursor:
        assert "person" in connection.introspection.table_names(cursor)


def introspection() -> None:
    """It asks for one row of a table."""
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, "person")
        assert [one.name for one in described][:2] == ["id", "name"]
        assert connection.introspection.get_sequences(cursor, "person")
        assert connection.introspection.get_primary_key_column(cursor, "person") == "id"
        assert "PRIMARY" in connection.introspection.get_constraints(cursor, "person")


if __name__ == "__main__":
    orm()
    if os.environ.get("ADMIN"):
        introspection()
        admin()
    print(f"{django.__version__}: all is well")
