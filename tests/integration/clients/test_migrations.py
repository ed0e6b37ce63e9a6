"""Tables that object mappers make by themselves on a sharded keyspace, without a line of VSchema for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Engine, ForeignKey, String, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, StartVgate, VgateProcess

VSCHEMA = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  customer:
    sharded: true
    shards: ["-80", "80-"]
    auto_vindex: hash
    foreign_keys: drop
    secondary_unique: local
"""
PROGRAM = Path(__file__).with_name("programs") / "django_sharded.py"


class Base(DeclarativeBase):
    """The models."""


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    title: Mapped[str] = mapped_column(String(100), index=True)


class Tag(Base):
    __tablename__ = "tag"
    word: Mapped[str] = mapped_column(String(40), primary_key=True)
    book_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)


@pytest.fixture
def vgate(fresh: Cluster, start_vgate: StartVgate) -> VgateProcess:
    return start_vgate(VSCHEMA)


@pytest.fixture
def engine(vgate: VgateProcess) -> Iterator[Engine]:
    made = create_engine(f"mysql+pymysql://{USER}:{PASSWORD}@{vgate.host}:{vgate.port}/customer")
    yield made
    made.dispose()


def test_sqlalchemys_create_all(vgate: VgateProcess, engine: Engine) -> None:
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)  # it looks first
    with Session(engine) as session:
        authors = [Author(name=f"author {number}") for number in range(10)]
        session.add_all(authors)
        session.flush()
        session.add_all([Book(author_id=author.id, title=f"of {author.name}") for author in authors])
        session.add_all([Tag(word=word, book_id=author.id) for author in authors for word in ("new", "old")])
        session.commit()
        assert len({author.id for author in authors}) == 10
        for author in authors:
            session.expire(author)
            found = session.get(Author, author.id)
            assert found is not None
            assert found.name.startswith("author")
        assert len(session.scalars(select(Book)).all()) == 10
        assert len(session.scalars(select(Tag).where(Tag.word == "new")).all()) == 10
        session.add(Tag(word="new", book_id=authors[0].id))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
    shards = [vgate.query("select count(*) from author", f"customer:{shard}")[0][0] for shard in ("-80", "80-")]
    assert sum(shards) == 10
    assert 0 not in shards
    Base.metadata.drop_all(engine)
    assert vgate.query("show tables", "customer") == ()
    assert vgate.query("show sequences", "customer") == ()


def test_djangos_migrations(vgate: VgateProcess) -> None:
    environment = {
        **os.environ, "DB_NAME": "customer", "DB_USER": USER, "DB_PASSWORD": PASSWORD, "DB_HOST": vgate.host,
        "DB_PORT": str(vgate.port),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.endswith(": all is well\n"), done.stdout + done.stderr
