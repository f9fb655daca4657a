"""Faults of Valkey and PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import psycopg
from psycopg import sql
from streamflow_local import postgres
from streamflow_offline.tables import TABLES

from streamflow_loadtests.bed.bed import POSTGRES, REGISTRY_REFRESH_S, VALKEY, Bed
from streamflow_loadtests.bed.processes import frozen, kill, killed, listening
from streamflow_loadtests.drill.fault import EMPTY, OUTAGE, Fault, Scene
from streamflow_loadtests.drill.faults import jobs
from streamflow_loadtests.drill.faults.changes import service_added

_POSTGRES_TIMEOUT_S = 30.0
_EMPTY_S = 1.0
_SNAPSHOTS = [table.snapshot_name for table in TABLES if table.snapshot_name is not None]


def _valkey(scene: Scene) -> psutil.Process:
    return scene.bed.servers.process(VALKEY)


@asynccontextmanager
async def _emptied(scene: Scene) -> AsyncIterator[None]:
    bed = scene.bed
    await asyncio.to_thread(kill, bed.servers, VALKEY)
    await asyncio.to_thread(bed.servers.stop, VALKEY)
    # Its append-only file would bring everything back.
    for kept in (bed.work / VALKEY).iterdir():
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    await asyncio.to_thread(bed.servers.restart, VALKEY)
    await listening(bed.servers.port(VALKEY))
    await asyncio.sleep(1.0)
    await jobs.materialize(bed)
    yield


@asynccontextmanager
async def _source_emptied(scene: Scene) -> AsyncIterator[None]:
    """Empty all snapshots, materialize, which is refused, and put the snapshots back."""
    bed = scene.bed
    await asyncio.to_thread(_take_snapshots, bed)
    try:
        refusal = await jobs.refused_materialize(bed)
        scene.expect(
            "Nothing was written or deleted" in refusal, f"an empty source was materialized: {refusal or 'exit 0'}"
        )
        await asyncio.sleep(_EMPTY_S)
    finally:
        await asyncio.to_thread(_put_back, bed)
    yield


def _take_snapshots(bed: Bed) -> None:
    with psycopg.connect(bed.postgres_url) as connection:
        for table in _SNAPSHOTS:
            connection.execute(
                sql.SQL("CREATE TABLE {} AS SELECT * FROM {}").format(_kept(table), sql.Identifier(table))
            )
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def _put_back(bed: Bed) -> None:
    with psycopg.connect(bed.postgres_url) as connection:
        for table in _SNAPSHOTS:
            connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(sql.Identifier(table), _kept(table)))
            connection.execute(sql.SQL("DROP TABLE {}").format(_kept(table)))


def _kept(table: str) -> sql.Identifier:
    return sql.Identifier(f"drill_{table}")


@asynccontextmanager
async def _postgres_stopped(scene: Scene) -> AsyncIterator[None]:
    async with _without_postgres(scene, for_s=2.5 * REGISTRY_REFRESH_S):
        yield


@asynccontextmanager
async def _postgres_restarted(scene: Scene) -> AsyncIterator[None]:
    # Long enough for a refresh of the registry to fail.
    async with _without_postgres(scene, for_s=1.2 * REGISTRY_REFRESH_S):
        async with service_added(scene):
            pass
        yield


@asynccontextmanager
async def _without_postgres(scene: Scene, *, for_s: float) -> AsyncIterator[None]:
    bed = scene.bed
    await asyncio.to_thread(bed.servers.stop, POSTGRES)
    await asyncio.sleep(for_s)
    await asyncio.to_thread(bed.servers.restart, POSTGRES)
    await asyncio.to_thread(postgres.wait_until_ready, bed.postgres_url, timeout_s=_POSTGRES_TIMEOUT_S)
    yield


FAULTS = (
    Fault(
        name="Valkey frozen",
        inject=lambda scene: frozen([_valkey(scene)], for_s=scene.lasting(3.0)),
        may_fail_as=OUTAGE,
    ),
    Fault(
        name="Valkey killed",
        inject=lambda scene: killed(scene.bed.servers, VALKEY, for_s=scene.lasting(2.0)),
        may_fail_as=OUTAGE,
    ),
    Fault(
        name="Valkey restarted empty",
        inject=_emptied,
        may_fail_as=EMPTY,
    ),
    Fault(
        name="an emptied source",
        inject=_source_emptied,
    ),
    Fault(
        name="PostgreSQL stopped",
        inject=_postgres_stopped,
    ),
    Fault(
        name="PostgreSQL restarted",
        inject=_postgres_restarted,
    ),
)
