"""The feature views, one per snapshot table.

No view has a ttl: a user's newest snapshot stays valid until the next one. A view given `ttl=timedelta(...)` looks
back no further than that in training, and the gateway calls its older values OUTSIDE_MAX_AGE.
"""

from datetime import timedelta

from feast import FeatureView, Field
from feast.types import Bool, Float64, Int64, String

from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.sources import (
    payments_agg_90d_source,
    subs_profile_source,
    support_agg_90d_source,
    usage_agg_30d_source,
)

NO_MAX_AGE = timedelta(0)

subs_profile_fv = FeatureView(
    name="subs_profile_fv",
    entities=[user],
    ttl=NO_MAX_AGE,
    schema=[
        Field(name="months_active", dtype=Int64, description="Months since signup."),
        # Money is Float64: 29.85 as Float32 is served as 29.850000381469727.
        Field(name="monthly_fee", dtype=Float64, description="Monthly fee in dollars."),
        Field(name="paperless_billing", dtype=Bool, description="Whether bills are sent by e-mail."),
        Field(name="plan_stream_tv", dtype=Bool, description="TV plan; null without internet service."),
        Field(name="plan_stream_movies", dtype=Bool, description="Movie plan; null without internet service."),
        Field(name="net_service", dtype=String, description="DSL, Fiber optic or No."),
    ],
    source=subs_profile_source,
)

usage_agg_30d_fv = FeatureView(
    name="usage_agg_30d_fv",
    entities=[user],
    ttl=NO_MAX_AGE,
    schema=[
        Field(name="watch_hours_30d", dtype=Float64, description="Hours watched in 30 days."),
        Field(name="avg_session_mins_7d", dtype=Float64, description="Mean session length in 7 days, in minutes."),
        Field(name="unique_devices_30d", dtype=Int64, description="Devices used in 30 days."),
        Field(name="skips_7d", dtype=Int64, description="Titles skipped in 7 days."),
        Field(name="rebuffer_events_7d", dtype=Int64, description="Rebuffering events in 7 days."),
    ],
    source=usage_agg_30d_source,
)

payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    entities=[user],
    ttl=NO_MAX_AGE,
    schema=[Field(name="failed_payments_90d", dtype=Int64, description="Failed payments in 90 days.")],
    source=payments_agg_90d_source,
)

support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    entities=[user],
    ttl=NO_MAX_AGE,
    schema=[
        Field(name="support_tickets_90d", dtype=Int64, description="Support tickets opened in 90 days."),
        Field(
            name="ticket_avg_resolution_hrs_90d",
            dtype=Float64,
            description="Mean hours to resolve a ticket in 90 days; set even for users without one.",
        ),
    ],
    source=support_agg_90d_source,
)
