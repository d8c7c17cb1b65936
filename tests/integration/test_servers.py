"""The servers that `scripts/start` brings along: one that is killed comes back with its data."""

from pathlib import Path

import psycopg2
import pytest

from scripts.local.children import MAX_DEATHS, ChildDied
from scripts.local.postgres import Postgres
from scripts.local.servers import Servers
from scripts.local.valkey import Valkey
from tests.kits.waiting import wait_until


def kill(server: Postgres | Valkey) -> None:
    process = server.process
    assert process is not None
    process.kill()
    wait_until(lambda: process.poll() is not None, "it dies")


def test_a_database_that_is_killed_comes_back_with_its_data(folder: Path) -> None:
    postgres = Postgres(folder / "killed")
    postgres.start()
    servers = Servers({"PostgreSQL": postgres})
    try:
        connection = psycopg2.connect(postgres.url())
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 7 AS number")
        assert servers.revive() == []
        kill(postgres)  # while a session is open
        assert servers.revive() == ["PostgreSQL"]
        connection.close()
        connection = psycopg2.connect(postgres.url())
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT number FROM kept")
            assert cursor.fetchall() == [(7,)]
        connection.close()
    finally:
        postgres.stop()


def test_a_server_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    servers = Servers({"Valkey": valkey})
    try:
        for _ in range(MAX_DEATHS):
            kill(valkey)
            assert servers.revive() == ["Valkey"]
            assert valkey.ask("PING").startswith(b"+PONG")
        kill(valkey)
        with pytest.raises(ChildDied, match=r"Valkey stops again and again; see .*valkey\.log"):
            servers.revive()
    finally:
        valkey.stop()
