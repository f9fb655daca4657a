"""The entities that features belong to."""

from feast import Entity, ValueType

from streamflow_repo import JOIN_KEY, USER_ID_PATTERN

user = Entity(
    name="user",
    join_keys=[JOIN_KEY],
    value_type=ValueType.STRING,
    description="A StreamFlow subscriber.",
    # Feast has no constraint on a join key's values; the contract carries this one to the gateway.
    tags={"pattern": USER_ID_PATTERN},
)
