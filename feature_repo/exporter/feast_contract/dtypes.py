"""The types that the gateway serves."""

_SCALARS = ("Bool", "Int32", "Int64", "Float32", "Float64", "String", "Bytes", "UnixTimestamp")

FEATURE_DTYPES = frozenset({*_SCALARS, *(f"List({name})" for name in _SCALARS)})

JOIN_KEY_DTYPES = frozenset({"String", "Int32", "Int64"})

REQUEST_DTYPES = frozenset({"Bool", "Int32", "Int64", "Float32", "Float64", "String"})
"""What a feature server's JSON can carry to an on-demand view; a list there is typed by its first element."""

FEATURES_TAKEN = f"the gateway serves {', '.join(_SCALARS)} and lists of these"
JOIN_KEYS_TAKEN = "the gateway takes String, Int32 and Int64 join keys"
REQUEST_TAKEN = "the gateway takes request data of Bool, Int32, Int64, Float32, Float64 and String"
