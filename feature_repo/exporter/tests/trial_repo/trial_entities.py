"""Join keys of every type, given and inferred."""

from feast import Entity, ValueType

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
city = Entity(name="city", join_keys=["city_code"], value_type=ValueType.INT32)
shop = Entity(
    name="shop",
    join_keys=["shop_id"],
    value_type=ValueType.STRING,
    description="Where riders stop.",
    tags={"pattern": "^[a-z]+$"},
)
# The parquet file says Int64.
rider = Entity(name="rider", join_keys=["rider_id"])
# The views say Int32 and Int64.
zone = Entity(name="zone", join_keys=["zone_id"])
flag = Entity(name="flag", join_keys=["flag"], value_type=ValueType.BOOL)
unused = Entity(name="unused", join_keys=["unused_id"])
puzzle = Entity(name="puzzle", join_keys=["puzzle_id"], value_type=ValueType.STRING, tags={"pattern": "("})
