"""The feature services: the feature sets that models ask for."""

from feast import FeatureService

from streamflow_repo.definitions.on_demand import session_now_fv
from streamflow_repo.definitions.views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv

churn_v1 = FeatureService(
    name="churn_v1",
    features=[subs_profile_fv, usage_agg_30d_fv, payments_agg_90d_fv, support_agg_90d_fv],
    description="All 14 features, for the churn model.",
)

engagement_v1 = FeatureService(
    name="engagement_v1",
    features=[
        subs_profile_fv[["months_active", "net_service"]],
        usage_agg_30d_fv[["watch_hours_30d", "rebuffer_events_7d"]],
    ],
    description="Tenure, network and use, for the drift monitor.",
)

session_v1 = FeatureService(
    name="session_v1",
    features=[
        subs_profile_fv[["months_active", "net_service"]],
        usage_agg_30d_fv[["watch_hours_30d", "avg_session_mins_7d"]],
        session_now_fv,
    ],
    description="This session beside the user's habits, for decisions while a user watches; needs request data.",
)
