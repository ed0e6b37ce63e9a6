"""peewee over PyMySQL: models, atomic blocks, introspection.

It does not know other ORMs.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from tests.fix_vgate import PASSWORD, USER
from tests.integration.clients.conftest import Place


@pytest.fixture
def database(place: Place) -> Iterator[Any]:
    made = peewee.MySQLDatabase(
        place.database, host=place.host, port=place.port, user=USER, password=PASSWORD, charset="utf8mb4"
    )
    yield made
    made.close()


def test_models(database: Any) -> None:
    class Person(peewee.Model):
        id = peewee.BigAutoField()
        name = peewee.CharField(max_length=100)
        born = peewee.DateField(null=True)
        price = peewee.DecimalField(20, 6, null=True)
        data = peewee.BlobField(null=True)

        class Meta:
            database: Any = None

    Person.bind(database)
    born, price = datetime.date(2000, 2, 29), decimal.Decimal("1.5")
    made = [Person.create(name=f"Zoë {n}", born=born, price=price, data=b"\0\xff") for n in range(4)]
    assert len({one.id for one in made}) == 4
    found = Person.get_by_id(made[0].id)
    assert (found.name, found.born, found.price, bytes(found.data or b"")) == ("Zoë 0", born, price, b"\0\xff")
    with database.atomic() as outer:
        Person.create(name="inside")
        with database.atomic() as inner:
            Person.update(name="renamed").execute()
            inner.rollback()
        outer.rollback()
    assert {one.name for one in Person.select()} == {f"Zoë {n}" for n in range(4)}
    assert Person.update(name="x").where(Person.id == made[1].id).execute() == 1
    assert made[2].delete_instance() == 1
    with pytest.raises(peewee.IntegrityError):
        Person.insert(id=made[0].id, name="again").execute()
    Person.insert_many([{"name": f"many {n}"} for n in range(10)]).execute()
    assert len(list(Person.select())) == 13


def test_introspection(database: Any) -> None:
    assert "person" in database.get_tables()
    assert [column.name for column in database.get_columns("person")][:2] == ["id", "name"]
    assert database.get_primary_keys("person") == ["id"]
    assert [index.name for index in database.get_indexes("person")] == ["PRIMARY"]
    assert database.get_foreign_keys("person") == []
    assert database.table_exists("person")
