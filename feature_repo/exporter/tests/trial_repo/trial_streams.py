"""Stream feature views."""

from datetime import timedelta
from pathlib import Path

from feast import Field, FileSource, KafkaSource, StreamFeatureView
from feast.data_format import JsonFormat
from feast.types import Float64
from trial_entities import driver


def _stream(name: str) -> KafkaSource:
    return KafkaSource(
        name=name,
        kafka_bootstrap_servers="localhost:9092",
        topic=name,
        timestamp_field="event_timestamp",
        message_format=JsonFormat("speed double"),
        watermark_delay_threshold=timedelta(minutes=5),
        batch_source=FileSource(
            name=f"{name}_batch",
            path=str(Path(__file__).parent / "data" / "rows.parquet"),
            timestamp_field="event_timestamp",
        ),
    )


stream_fv = StreamFeatureView(
    name="stream_fv",
    entities=[driver],
    ttl=timedelta(hours=1),
    schema=[Field(name="speed", dtype=Float64)],
    source=_stream("speeds"),
    online=True,
)
offline_stream_fv = StreamFeatureView(
    name="offline_stream_fv",
    entities=[driver],
    ttl=timedelta(0),
    schema=[Field(name="slowness", dtype=Float64)],
    source=_stream("slownesses"),
    online=False,
)
