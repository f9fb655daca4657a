"""The page *Features*: what there is, what it means, how old it is, and what depends on what."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from feature_gateway.access.caller import Caller
from feature_gateway.encoding import NS_PER_S
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.metrics import Metrics
from feature_gateway.pages.catalogue import KINDS, catalogue_of, left_out_of
from feature_gateway.pages.picture import MAX_NODES, picture_of
from feature_gateway.pages.rendering import Renderer
from feature_gateway.pages.times import age_of, ago_of, moment_of


@dataclass(frozen=True, kw_only=True)
class Features:
    """Answers the page."""

    lookup: Lookup
    metrics: Metrics
    renderer: Renderer

    async def answer(self, request: web.Request, caller: Caller) -> web.Response:
        """Return the page of the definitions that a search finds, or of all; raise GatewayError."""
        caller.spend()
        contract = self.lookup.contract
        search = request.query.get("search", "").strip()
        entries = catalogue_of(contract, caller)
        found = [entry for entry in entries if entry.fits(search.casefold().split())]
        return await self.renderer.page(
            "features",
            search=search,
            found=found,
            count=len(entries),
            kinds=KINDS,
            anchors={entry.identity: entry.anchor for entry in found},
            picture=picture_of(found),
            max_nodes=MAX_NODES,
            left_out=[] if search else left_out_of(contract, caller),
            contract_hash=contract.hash,
            age_of=age_of,
            newest=_newest(self.metrics.newest_rows_ns()),
        )


def _newest(stamps_ns: Mapping[str, int]) -> dict[str, str]:
    now_ns = time.time_ns()
    return {
        view: f"{moment_of(stamp_ns)}, {ago_of((now_ns - stamp_ns) / NS_PER_S)}" for view, stamp_ns in stamps_ns.items()
    }
