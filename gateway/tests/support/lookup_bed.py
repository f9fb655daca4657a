"""A lookup in front of feature servers, without gRPC and HTTP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from any_entity import computed, of_keys
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.reload import ContractHolder
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer
from feature_gateway.upstream.connections import Connections
from feature_gateway.upstream.feature_server import FeatureServer
from feature_gateway.upstream.pool import ReplicaPool
from gateway_fakes import FakeFeatureServer, running_feature_server, written_contract


@asynccontextmanager
async def lookup_before(
    urls: Sequence[str], contract_path: Path, *, observer: Observer | None = None, **settings: Any
) -> AsyncIterator[tuple[Lookup, ReplicaPool]]:
    """A lookup that reads from the servers at some URLs, and their pool."""
    async with Connections() as connections:
        pool = ReplicaPool(
            urls, connect=lambda url: FeatureServer(url, connections=connections), hedge=False, observer=observer
        )
        coalescer = Coalescer(pool, max_read_rows=64, max_queued=1000, observer=observer)
        values: dict[str, Any] = {
            "default_feature_service": "",
            "user_entity": "user",
            "default_timeout_s": 20.0,
            "max_timeout_s": 30.0,
            "deadline_margin_s": 0.0,
            "max_user_id_bytes": 128,
            "max_batch_users": 100,
            **settings,
        }
        contracts = ContractHolder(contract_path, default_feature_service="")
        yield Lookup(contracts=contracts, reader=coalescer, observer=observer or Observer(), **values), pool
        await coalescer.close()
        await pool.close()


@asynccontextmanager
async def looking_up(content: dict[str, Any], folder: Path) -> AsyncIterator[tuple[Lookup, FakeFeatureServer]]:
    """A lookup in front of a feature server that answers by `of_keys`, by a contract's content."""
    path = written_contract(folder, content)
    async with running_feature_server() as fake:
        fake.answer = computed(of_keys)
        async with lookup_before([fake.url], path) as (lookup, _):
            yield lookup, fake
