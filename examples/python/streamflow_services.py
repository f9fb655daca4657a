"""Typed features, which `streamflow-features codegen` wrote from a contract.

The contract is that of the project streamflow. Do not edit this module; write it again when the
contract changes. A field is None when a user has no value: no contract promises one. The status in
`features.statuses` says why.
"""

# ruff: noqa
# fmt: off

from dataclasses import dataclass
from typing import ClassVar, Self

from streamflow_features import Given, TypedFeatures, TypedService, TypedUserFeatures

CONTRACT_HASH = "sha256:638a874a8620118e5803782dbd16830d9ec7260653d4be22929c4dcf394757a8"
"""The contract that this module was written from. Calls fail at a gateway that has another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurnV1(TypedUserFeatures):
    """All 14 features, for the churn model.

    The feature service churn_v1. User ids are values of user_id. Ask for it with
    `client.get(ChurnV1, user_id)`.
    """

    months_active: int | None
    """Months since signup.

    subs_profile_fv:months_active, Int64, no maximum age.
    """

    monthly_fee: float | None
    """Monthly fee in dollars.

    subs_profile_fv:monthly_fee, Float64, no maximum age.
    """

    paperless_billing: bool | None
    """Whether bills are sent by e-mail.

    subs_profile_fv:paperless_billing, Bool, no maximum age.
    """

    plan_stream_tv: bool | None
    """TV plan; null without internet service.

    subs_profile_fv:plan_stream_tv, Bool, no maximum age.
    """

    plan_stream_movies: bool | None
    """Movie plan; null without internet service.

    subs_profile_fv:plan_stream_movies, Bool, no maximum age.
    """

    net_service: str | None
    """DSL, Fiber optic or No.

    subs_profile_fv:net_service, String, no maximum age.
    """

    watch_hours_30d: float | None
    """Hours watched in 30 days.

    usage_agg_30d_fv:watch_hours_30d, Float64, no maximum age.
    """

    avg_session_mins_7d: float | None
    """Mean session length in 7 days, in minutes.

    usage_agg_30d_fv:avg_session_mins_7d, Float64, no maximum age.
    """

    unique_devices_30d: int | None
    """Devices used in 30 days.

    usage_agg_30d_fv:unique_devices_30d, Int64, no maximum age.
    """

    skips_7d: int | None
    """Titles skipped in 7 days.

    usage_agg_30d_fv:skips_7d, Int64, no maximum age.
    """

    rebuffer_events_7d: int | None
    """Rebuffering events in 7 days.

    usage_agg_30d_fv:rebuffer_events_7d, Int64, no maximum age.
    """

    failed_payments_90d: int | None
    """Failed payments in 90 days.

    payments_agg_90d_fv:failed_payments_90d, Int64, no maximum age.
    """

    support_tickets_90d: int | None
    """Support tickets opened in 90 days.

    support_agg_90d_fv:support_tickets_90d, Int64, no maximum age.
    """

    ticket_avg_resolution_hrs_90d: float | None
    """Mean hours to resolve a ticket in 90 days; set even for users without one.

    support_agg_90d_fv:ticket_avg_resolution_hrs_90d, Float64, no maximum age.
    """

    _service: ClassVar[TypedService] = TypedService(
        "churn_v1",
        CONTRACT_HASH,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngagementV1(TypedUserFeatures):
    """Tenure, network and use, for the drift monitor.

    The feature service engagement_v1. User ids are values of user_id. Ask for it with
    `client.get(EngagementV1, user_id)`.
    """

    months_active: int | None
    """Months since signup.

    subs_profile_fv:months_active, Int64, no maximum age.
    """

    net_service: str | None
    """DSL, Fiber optic or No.

    subs_profile_fv:net_service, String, no maximum age.
    """

    watch_hours_30d: float | None
    """Hours watched in 30 days.

    usage_agg_30d_fv:watch_hours_30d, Float64, no maximum age.
    """

    rebuffer_events_7d: int | None
    """Rebuffering events in 7 days.

    usage_agg_30d_fv:rebuffer_events_7d, Int64, no maximum age.
    """

    _service: ClassVar[TypedService] = TypedService(
        "engagement_v1",
        CONTRACT_HASH,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionV1(TypedFeatures):
    """This session beside the user's habits, for decisions while a user watches; needs request data.

    The feature service session_v1. User ids are values of user_id. Ask for it with
    `client.get(SessionV1.given(…), user_id)`.
    """

    months_active: int | None
    """Months since signup.

    subs_profile_fv:months_active, Int64, no maximum age.
    """

    net_service: str | None
    """DSL, Fiber optic or No.

    subs_profile_fv:net_service, String, no maximum age.
    """

    watch_hours_30d: float | None
    """Hours watched in 30 days.

    usage_agg_30d_fv:watch_hours_30d, Float64, no maximum age.
    """

    avg_session_mins_7d: float | None
    """Mean session length in 7 days, in minutes.

    usage_agg_30d_fv:avg_session_mins_7d, Float64, no maximum age.
    """

    session_over_avg_7d: float | None
    """Minutes of this session over the mean session length in 7 days; null without a mean, or if it is
    0.

    session_now_fv:session_over_avg_7d, Float64, computed at each read.
    """

    _service: ClassVar[TypedService] = TypedService(
        "session_v1",
        CONTRACT_HASH,
        request_data=("session_mins",),
    )

    @classmethod
    def given(
        cls,
        *,
        session_mins: float,
    ) -> Given[Self]:
        """Return SessionV1 with its request data, for `client.get`.

        session_mins: Minutes watched in this session so far. Float64.
        """
        return Given(
            cls,
            {
                "session_mins": session_mins,
            },
        )
