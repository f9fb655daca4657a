"""The Python client's tables and training sets have the same types, so that a model reads both alike."""

from streamflow_features import UserFeatures, UserFeaturesBatch
from streamflow_offline.training_set.columns import DTYPES


def test_a_table_of_the_client_has_the_types_of_a_training_set() -> None:
    features = UserFeatures.of("3413-BMNZE", dict.fromkeys(DTYPES))
    batch = UserFeaturesBatch(["3413-BMNZE"], [features], dtypes={dtype: dtype for dtype in DTYPES})
    schema = batch.to_arrow().schema
    assert {name: schema.field(name).type for name in DTYPES} == DTYPES
