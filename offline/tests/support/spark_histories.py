"""Generated histories, and feature views over them, for either engine."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from feast import FeatureView, Field
from feast.data_source import DataSource
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from streamflow_repo.definitions.entities import user

START = datetime(2024, 1, 1, tzinfo=UTC)
TTL = timedelta(days=2, milliseconds=500)
TICK = timedelta(microseconds=1)


def views_over(sources: dict[str, DataSource]) -> list[FeatureView]:
    """Return a feature view over each source of TABLES, and over those of others that there are."""
    plan_schema = [Field(name="plan", dtype=String), Field(name="seats", dtype=Int64)]
    return [
        FeatureView(
            name="balance_fv",
            entities=[user],
            ttl=TTL,
            schema=[Field(name="amount", dtype=Float64), Field(name="overdrawn", dtype=Bool)],
            source=sources["balances"],
        ),
        FeatureView(
            name="plan_fv",
            entities=[user],
            ttl=timedelta(0),
            schema=plan_schema,
            source=sources["plans"],
        ),
        FeatureView(
            name="kinds_fv",
            entities=[user],
            ttl=timedelta(0),
            schema=[
                Field(name="int32", dtype=Int32),
                Field(name="float32", dtype=Float32),
                Field(name="bytes", dtype=Bytes),
                Field(name="moment", dtype=UnixTimestamp),
                Field(name="number", dtype=Float64),
                Field(name="flags", dtype=Array(Bool)),
                Field(name="embedding", dtype=Array(Float32)),
                Field(name="ids", dtype=Array(Int64)),
                Field(name="texts", dtype=Array(String)),
                Field(name="byte_strings", dtype=Array(Bytes)),
                Field(name="moments", dtype=Array(UnixTimestamp)),
            ],
            source=sources["kinds"],
        ),
        *(
            FeatureView(name=f"{name}_fv", entities=[user], ttl=timedelta(0), schema=plan_schema, source=sources[name])
            for name in ("ordered", "tied", "nowhere")
            if name in sources
        ),
    ]


TABLES: dict[str, tuple[str, pa.Schema]] = {
    "balances": (
        "user_id text, at timestamptz, written_at timestamptz, amount float8, overdrawn bool",
        pa.schema(
            [
                ("user_id", pa.string()),
                ("at", pa.timestamp("us", tz="UTC")),
                ("written_at", pa.timestamp("us", tz="UTC")),
                ("amount", pa.float64()),
                ("overdrawn", pa.bool_()),
            ]
        ),
    ),
    "plans": (
        "user_id text, at date, written_at timestamptz, plan text, seats int",
        pa.schema(
            [
                ("user_id", pa.string()),
                ("at", pa.date32()),
                ("written_at", pa.timestamp("us", tz="UTC")),
                ("plan", pa.string()),
                ("seats", pa.int32()),
            ]
        ),
    ),
    "kinds": (
        (
            "user_id text, at timestamptz, written_at timestamptz, int32 bigint, float32 float8, bytes bytea,"
            " moment timestamptz, number numeric, flags bool[], embedding float8[], ids int[], texts text[],"
            " byte_strings bytea[], moments timestamptz[]"
        ),
        pa.schema(
            [
                ("user_id", pa.string()),
                ("at", pa.timestamp("us", tz="UTC")),
                ("written_at", pa.timestamp("us", tz="UTC")),
                ("int32", pa.int64()),
                ("float32", pa.float64()),
                ("bytes", pa.binary()),
                ("moment", pa.timestamp("us", tz="UTC")),
                ("number", pa.decimal128(12, 3)),
                ("flags", pa.list_(pa.bool_())),
                ("embedding", pa.list_(pa.float64())),
                ("ids", pa.list_(pa.int32())),
                ("texts", pa.list_(pa.string())),
                ("byte_strings", pa.list_(pa.binary())),
                ("moments", pa.list_(pa.timestamp("us", tz="UTC"))),
            ]
        ),
    ),
}
"""Each table's columns in PostgreSQL and in Parquet."""


def histories(draw: random.Random, users: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows that are corrected, late, without key, time or features, and at the edges of the ttl and of rows' times."""

    def keys(*, days: bool) -> Iterator[tuple[str | None, datetime | date | None, datetime | None]]:
        seen = set()
        for _ in range(1500):
            hours = draw.randrange(0, 24 * 20, 24 if days else 12)
            at = START + timedelta(hours=hours) + draw.choice([-1, 0, 0, 1]) * (TICK * (not days))
            # Corrections, and rows that come after the time that they are asked for.
            written = draw.choice([None, *(at + timedelta(hours=late) for late in (0, 1, 300))])
            key = (draw.choice([*users, None]), draw.choice([at.date() if days else at] * 30 + [None]), written)
            # Rows that tie in all of these have no order that both engines know.
            if key not in seen:
                seen.add(key)
                yield key

    def maybe(*values: Any) -> Any:
        return draw.choice([None, *values])

    return {
        "balances": [(*key, maybe(draw.random(), 1e-300, -0.0), maybe(True, False)) for key in keys(days=False)],
        "plans": [(*key, maybe("", "basic", "a,b\n\"c'\\N", "\u00e9"), maybe(-9, 7)) for key in keys(days=True)],
        "kinds": [
            (
                *key,
                maybe(-(2**31), 2**31 - 1),
                maybe(29.85, float("inf"), float("nan")),
                maybe(b"\x00\xff", b""),
                maybe(START + 3 * TICK),
                maybe(Decimal("9.600"), Decimal("-0.001")),
                maybe([True, None], []),
                maybe([29.85, None, float("nan")], [-0.0, 1e-300, 16_777_217.0]),
                maybe([-(2**31), None], []),
                maybe(["a,b\n\"c'\\N", None, ""], ["{}"]),
                maybe([b"\x00\xff", None], [b""]),
                maybe([START + 3 * TICK, None], []),
            )
            for key in keys(days=False)
        ],
    }
