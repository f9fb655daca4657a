"""Files of who may call with any content: each can be used, or is refused with a reason."""

import json
from contextlib import suppress
from typing import Any

from access_fakes import Issuer
from feature_gateway.access.jwt_keys import ALGORITHMS, key_set_of
from feature_gateway.access.policy import policy_of
from feature_gateway.access.token_file import tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st

_JWK = Issuer().jwk()
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["EC", "RSA", "OKP", "oct"]) | _JSON,
        "crv": st.sampled_from(["P-256", "P-384", "Ed25519"]) | _JSON,
        "alg": st.sampled_from([*ALGORITHMS]) | _JSON,
        **{
            name: st.just(_JWK.get(name, "AQAB")) | _JSON for name in ("kid", "use", "x", "y", "n", "e", "k", "key_ops")
        },
    },
)
_TOML = st.lists(
    st.sampled_from([
        "[identities]", "[identities.'*']", '[identities."token:a"]', "feature_services", "calls_per_s", " = ", "\n",
        "'*'", "[", "]", "1", "-1", "nan", "1e400", "true", ",", "2026-01-01", "{}", '"""',
    ]),
    max_size=20,
).map("".join)  # fmt: skip


@settings(max_examples=200)
@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries({"keys": st.lists(_ENTRIES | _JSON) | _JSON}).map(lambda value: json.dumps(value).encode())
)
def test_any_keys_are_used_or_refused(content: bytes) -> None:
    with suppress(ValueError):
        keys: Any = key_set_of(content, algorithms=frozenset(ALGORITHMS))
        keys.find(None, "ES256")


@settings(max_examples=500)
@given(st.binary(max_size=60) | _TOML.map(str.encode))
def test_any_policy_is_used_or_refused(content: bytes) -> None:
    with suppress(ValueError):
        policy_of(content).rights_of("token:a")


@given(st.binary(max_size=60) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_any_tokens_are_used_or_refused(content: bytes) -> None:
    with suppress(ValueError):
        tokens_of(content)
