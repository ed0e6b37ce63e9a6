"""SQLAlchemy 2, core and ORM, over several drivers: tables it makes itself, ids that come from a sequence, reflection.

It does not know what drivers do beneath.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator

import pytest
from sqlalchemy import (
    DECIMAL,
    BigInteger,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    create_engine,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tests.fix_vgate import PASSWORD, USER
from tests.integration.clients.conftest import Place


class Base(DeclarativeBase):
    """The models."""


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), nullable=False)
    born: Mapped[datetime.date | None]
    seen: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    price: Mapped[decimal.Decimal | None] = mapped_column(DECIMAL(20, 6))
    data: Mapped[bytes | None] = mapped_column(LargeBinary)
    score: Mapped[float | None]
    pets: Mapped[list[Pet]] = relationship(back_populates="person", cascade="all, delete-orphan")


class Pet(Base):
    __tablename__ = "pet"
    __table_args__ = (Index("by_name", "name"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    person_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("person.id"), nullable=False)
    name: Mapped[str] = mapped_column(String(50))
    person: Mapped[Person] = relationship(back_populates="pets")


def url(place: Place, driver: str) -> str:
    more = "?collation=utf8mb4_general_ci" if driver == "mysqlconnector" else "?charset=utf8mb4"
    password = PASSWORD.replace("'", "%27").replace(" ", "%20")
    return f"mysql+{driver}://{USER}:{password}@{place.host}:{place.port}/{place.database}{more}"


@pytest.fixture(params=["pymysql", "mysqlconnector"])
def engine(request: pytest.FixtureRequest, place: Place) -> Iterator[Engine]:
    """An engine aimed at the keyspace, with the models' tables."""
    made = create_engine(url(place, request.param), pool_pre_ping=True, pool_size=2)
    with made.begin() as connection:
        connection.execute(text("drop table if exists person"))
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def test_the_orm_makes_reads_changes_and_deletes(engine: Engine) -> None:
    with Session(engine) as session:
        people = [Person(name=f"Zoë {n}", price=decimal.Decimal("1.5"), data=b"\0\xff", score=0.1) for n in range(5)]
        session.add_all(people)
        session.flush()
        numbers = [one.id for one in people]
        assert len(set(numbers)) == 5
        people[0].pets.append(Pet(name="cat"))
        people[0].pets.append(Pet(name="dog"))
        session.commit()
    with Session(engine) as session:
        found = session.get(Person, numbers[0])
        assert found is not None
        assert (found.name, found.price, found.data, found.score) == ("Zoë 0", decimal.Decimal("1.5"), b"\0\xff", 0.1)
        assert sorted(pet.name for pet in found.pets) == ["cat", "dog"]
        found.name = "renamed"
        found.seen = datetime.datetime(2024, 2, 29, 12, 0)
        session.commit()
        session.delete(session.get_one(Person, numbers[1]))
        with session.begin_nested() as nested:
            session.add(Person(name="never"))
            session.flush()
            nested.rollback()
        session.commit()
    with Session(engine) as session:
        names = {one.name for one in session.scalars(select(Person).where(Person.id.in_(numbers)))}
        assert names == {"renamed", "Zoë 2", "Zoë 3", "Zoë 4"}
        joined = select(Person.name, Pet.name).join(Pet, Pet.person_id == Person.id).where(Person.id == numbers[0])
        assert sorted(tuple(row) for row in session.execute(joined.order_by(Pet.name))) == [
            ("renamed", "cat"), ("renamed", "dog"),
        ]  # fmt: skip
        assert session.scalar(select(Person.seen).where(Person.id == numbers[0])) == datetime.datetime(2024, 2, 29, 12)


def test_the_core_inserts_updates_and_tells_errors(engine: Engine) -> None:
    with engine.begin() as connection:
        made = connection.execute(insert(Person).values(name="one"))
        (number,) = made.inserted_primary_key or (0,)
        assert connection.execute(select(Person.name).where(Person.id == number)).scalar_one() == "one"
        connection.execute(insert(Person), [{"name": f"many {n}"} for n in range(50)])
        assert connection.execute(update(Person).where(Person.id == number).values(score=2.5)).rowcount == 1
    with pytest.raises(IntegrityError) as raised, engine.begin() as connection:
        connection.execute(insert(Person).values(id=number, name="again"))
    assert raised.value.orig is not None
    assert raised.value.orig.args[0] == 1062
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        assert len(connection.execute(select(Person.id)).all()) == 51
        assert connection.execute(delete(Person).where(Person.name.like("many%"))).rowcount == 50
        connection.rollback()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", stream_results=True) as connection:
        assert len(connection.execute(select(Person.id)).all()) == 51


def test_the_inspector_sees_the_keyspace(engine: Engine, place: Place) -> None:
    seen = inspect(engine)
    assert seen.default_schema_name == place.database
    assert {"product", "customer"} <= set(seen.get_schema_names())
    assert {"person", "pet"} <= set(seen.get_table_names())
    assert seen.has_table("person", schema=place.database)
    assert not seen.has_table("nosuch")
    assert {column["name"] for column in seen.get_columns("pet")} == {"id", "person_id", "name"}
    assert seen.get_pk_constraint("pet")["constrained_columns"] == ["id"]
    assert seen.get_foreign_keys("pet")[0]["referred_table"] == "person"
    assert {index["name"] for index in seen.get_indexes("pet")} >= {"by_name"}
    assert seen.get_view_names() == []
    assert seen.get_table_comment("person") == {"text": None}
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
async def test_the_asyncio_engine(place: Place, driver: str) -> None:
    engine = create_async_engine(url(place, driver))
    async with AsyncSession(engine, expire_on_commit=False) as session:
        person = Person(name="Zoë")
        session.add(person)
        await session.commit()
        assert await session.scalar(select(Person.name).where(Person.id == person.id)) == "Zoë"
    await engine.dispose()
