"""The types that the gateway serves."""

_SCALARS = ("Bool", "Int32", "Int64", "Float32", "Float64", "String", "Bytes", "UnixTimestamp")

FEATURE_DTYPES = frozenset({*_SCALARS, *(f"List({name})" for name in _SCALARS)})

JOIN_KEY_DTYPES = frozenset({"String", "Int32", "Int64"})

_IN_REQUESTS = ("Bool", "Int32", "Int64", "Float32", "Float64", "String")

REQUEST_DTYPES = frozenset({*_IN_REQUESTS, *(f"List({name})" for name in _IN_REQUESTS)})
"""What the JSON of a request can carry to an on-demand view as its type."""

FEATURES_TAKEN = f"the gateway serves {', '.join(_SCALARS)} and lists of these"
JOIN_KEYS_TAKEN = "the gateway takes String, Int32 and Int64 join keys"
REQUEST_TAKEN = f"the gateway takes request data of {', '.join(_IN_REQUESTS)} and lists of these"
