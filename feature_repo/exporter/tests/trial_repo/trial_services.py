"""Feature services."""

from feast import FeatureService
from trial_on_demand import clashing_odfv, offline_odfv, pandas_odfv, python_odfv, request_odfv, singleton_odfv
from trial_streams import stream_fv
from trial_views import composite_fv, entityless_fv, inferred_fv, lists_fv, offline_fv, partly_fv, scalars_fv

plain_v1 = FeatureService(name="plain_v1", features=[scalars_fv[["a_string", "a_bool"]], stream_fv, inferred_fv])
composite_v1 = FeatureService(name="composite_v1", features=[composite_fv, lists_fv[["some_int64"]]])
on_demand_v1 = FeatureService(
    name="on_demand_v1", features=[python_odfv[["ratio"]], pandas_odfv, scalars_fv[["a_int64"]], singleton_odfv]
)
beside_v1 = FeatureService(name="beside_v1", features=[entityless_fv, scalars_fv[["a_bool"]]])
request_v1 = FeatureService(
    name="request_v1", features=[request_odfv], description="Request data alone.", owner="team-requests"
)
mapped_v1 = FeatureService(
    name="mapped_v1",
    features=[
        scalars_fv[["a_int64"]].with_name("other").with_join_key_map({"driver_id": "other_id"}),
        scalars_fv[["a_int64"]].with_name("own"),
        composite_fv.with_join_key_map({"driver_id": "courier_id"}),
    ],
)
half_renamed_v1 = FeatureService(
    name="half_renamed_v1", features=[scalars_fv[["a_int64"]], scalars_fv[["a_int64"]].with_name("other")]
)
swapped_v1 = FeatureService(
    name="swapped_v1",
    features=[
        scalars_fv[["a_int64"]].with_name("other").with_join_key_map({"driver_id": "rider_id"}),
        inferred_fv.with_join_key_map({"rider_id": "driver_id"}),
    ],
)
alias_v1 = FeatureService(name="alias_v1", features=[scalars_fv[["a_bool"]].with_name("renamed")])

everywhere_v1 = FeatureService(name="everywhere_v1", features=[entityless_fv], description="Left out.", owner="nobody")
offline_v1 = FeatureService(name="offline_v1", features=[scalars_fv[["a_bool"]], offline_fv])
partly_v1 = FeatureService(name="partly_v1", features=[partly_fv])
offline_on_demand_v1 = FeatureService(name="offline_on_demand_v1", features=[offline_odfv])
twice_v1 = FeatureService(
    name="twice_v1",
    features=[scalars_fv[["a_int64"]], scalars_fv[["a_bool"]].with_join_key_map({"driver_id": "other_id"})],
)
again_v1 = FeatureService(name="again_v1", features=[scalars_fv[["a_int64"]], scalars_fv[["a_int64"]]])
clashing_v1 = FeatureService(name="clashing_v1", features=[clashing_odfv, scalars_fv[["a_bool"]]])
