"""The fakes answer as a real gateway does, whatever is asked: both faces of the client."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from both_faces import Asker
from places import PACE, STRANGER, USER, asking_at, user
from streamflow_features import FeatureServingError, Question, StalenessPolicy, UserFeatures, UserFeaturesBatch

_MONTHS, _PLAN, _USAGE = "profile_fv:months_active", "profile_fv:plan_stream_tv", "usage_fv:watch_hours"
_DAY_S = 86_400
_CALLS_AT_RANDOM = 300
_ONE: list[tuple[str, dict[str, Any]]] = [
    (USER, {}),
    (STRANGER, {}),
    ("", {}),
    ("nobody", {}),
    ("x" * 129, {}),
    (USER, {"feature_service": "scores_v1"}),
    (STRANGER, {"feature_service": "scores_v1"}),
    (USER, {"feature_service": ""}),
    (USER, {"feature_service": "nope"}),
    (USER, {"features": [_PLAN, _USAGE, _MONTHS]}),
    (USER, {"features": ["usage_fv:score", "profile_fv:score"]}),
    (USER, {"features": []}),
    (USER, {"features": ["a"]}),
    (USER, {"features": [":a"]}),
    (USER, {"features": ["a:b:c"]}),
    (USER, {"features": [_MONTHS, _MONTHS]}),
    (USER, {"features": ["nope_fv:months_active"]}),
    (USER, {"features": ["profile_fv:nope"]}),
    (USER, {"features": [f"profile_fv:f{number}" for number in range(100)]}),
    (USER, {"max_age_s": _DAY_S}),
    (STRANGER, {"max_age_s": 0}),
    (USER, {"max_age_s": 0, "staleness_policy": StalenessPolicy.OMIT}),
    (USER, {"max_age_s": 36_600 * _DAY_S, "staleness_policy": StalenessPolicy.FAIL}),
    (USER, {"max_age_s": -0.5}),
    (USER, {"contract_hash": "sha256:00"}),
    (USER, {"feature_service": PACE, "request_data": {"minutes": 2}}),
    (STRANGER, {"feature_service": PACE, "request_data": {"minutes": 2.5}}),
    (USER, {"feature_service": PACE}),
    (USER, {"feature_service": PACE, "request_data": {"minutes": "two"}}),
    (USER, {"feature_service": PACE, "request_data": {"minutes": []}}),
    (USER, {"feature_service": PACE, "request_data": {"minutes": float("nan")}}),
    (USER, {"feature_service": PACE, "request_data": {"minutes": 1, "hours": 1}}),
    (USER, {"request_data": {"minutes": 1}}),
]
_MINUTES = [{"minutes": 1}, {"minutes": "two"}, {}]
_OTHERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("batch_get_user_features", ([USER, "nobody", user(7), STRANGER, "", USER],), {}),
    ("batch_get_user_features", ([],), {}),
    ("batch_get_user_features", ([USER] * 1001,), {}),
    ("batch_get_user_features", ([USER, STRANGER],), {"feature_service": PACE, "request_data": {"minutes": 3}}),
    ("batch_get_user_features", ([USER] * 3,), {"feature_service": PACE, "request_data_by_user": _MINUTES}),
    ("batch_get_user_features", ([USER] * 2,), {"feature_service": PACE, "request_data_by_user": _MINUTES}),
    (
        "batch_get_user_features",
        ([USER],),
        {"feature_service": PACE, "request_data": {"minutes": 1}, "request_data_by_user": [{"minutes": 1}]},
    ),
    ("batch_get_user_features", ([USER],), {"feature_service": PACE}),
    ("get_users_features", ([*map(user, range(200)), "nobody", STRANGER] * 6,), {}),
    ("get_users_features", ([STRANGER],), {"features": [_USAGE, _PLAN]}),
    ("get_users_features", ([],), {"feature_service": "churn_v1"}),
    ("get_users_features", ([USER],), {"feature_service": "nope"}),
    ("get_feature_service", ("scores_v1",), {}),
    ("get_feature_service", (PACE,), {}),
    ("get_feature_service", ("nope",), {}),
    ("get_feature_service", ("",), {}),
    ("list_feature_services", (), {}),
    ("check", (), {}),
    ("get_online_features", ([_MONTHS, _PLAN], [{"user_id": USER}, {"user_id": STRANGER}]), {}),
    ("get_online_features", ([_MONTHS, _USAGE], {"user_id": [user(1)]}), {"full_feature_names": True}),
    ("get_online_features", (["pace:pace_out"], {"user_id": [USER, STRANGER], "minutes": [1, 2.5]}), {}),
    ("get_online_features", (["pace:pace_out"], {"user_id": [USER]}), {}),
    ("get_online_features", (["profile_fv:score", "usage_fv:score"], {"user_id": [USER]}), {}),
    ("get_online_features", ([], {"user_id": [USER]}), {}),
    ("get_online_features", ([_MONTHS], {"user_id": []}), {}),
    ("get_online_features", ([_MONTHS], {"user_id": [USER] * 1001}), {}),
    ("get_online_features", ([_MONTHS], {}), {}),
    ("get_online_features", ([_MONTHS], {"user_id": [USER], "shop_id": [1]}), {}),
    ("get_online_features", ([_MONTHS], {"user_id": [USER], "minutes": [1]}), {}),
    ("get_online_features", ([_MONTHS], {"user_id": [USER, 7]}), {}),
    ("get_online_features", ([_MONTHS], {"user_id": [USER, "nobody"]}), {}),
    ("get_online_features", (["profile_fv:nope"], {"user_id": [USER]}), {}),
]


@pytest.fixture
async def both(face: str, tmp_path: Path) -> AsyncIterator[list[Asker]]:
    """A client of a gateway, and a fake."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(asking_at(place, face, tmp_path)) for place in ("gateway", "fake")]


def _comparable(result: Any) -> Any:
    """What is the same of equal results: of errors all but the words."""
    if isinstance(result, FeatureServingError):
        return type(result), result.reason, dict(result.metadata), result.retry_after_s
    if isinstance(result, UserFeaturesBatch):
        return result.user_ids, list(map(_comparable, result)), result.contract_hash, dict(result.dtypes)
    if isinstance(result, UserFeatures):
        assert result.serving_info is None
    return result


async def _outcome(ask: Asker, method: str, *arguments: Any, **options: Any) -> Any:
    try:
        return _comparable(await ask(method, *arguments, **options))
    except FeatureServingError as error:
        return _comparable(error)
    except ValueError as error:
        # Of the client alone.
        return str(error)


async def test_all_calls_have_the_same_answers(both: list[Asker]) -> None:
    calls = [*(("get_user_features", (user_id,), options) for user_id, options in _ONE), *_OTHERS]
    differing = []
    for method, arguments, options in calls:
        gateway, fake = [await _outcome(ask, method, *arguments, **options) for ask in both]
        if fake != gateway:
            differing.append((method, arguments, options, gateway, fake))
    assert differing == []


async def test_all_questions_of_a_stream_have_the_same_answers(both: list[Asker]) -> None:
    questions = [Question(user_id, **options) for user_id, options in _ONE]
    found = []
    for ask in both:

        async def asked() -> AsyncIterator[Question]:
            for question in questions:
                yield question

        results = {answer.question: answer.result async for answer in ask.stream(asked())}
        found.append([_comparable(results[question]) for question in questions])
    assert found[0] == found[1]


_REFERENCES = [
    *(_MONTHS, _PLAN, _USAGE, "profile_fv:score", "profile_fv:monthly_fee", "pace:pace_out"),
    *("profile_fv:nope", "nope_fv:score", "profile_fv", ":", "a:b:c", ""),
]
_IDS = [
    USER,
    STRANGER,
    user(7),
    user(199),
    user(200),
    "nobody",
    "",
    "x" * 129,
    "3413-bmnze",
    " 3413-BMNZE",
    "ÄÖÜ",
    "1234-ÄÖÜSS",
]
_VALUES = [0, 2.5, -1, 2**62, True, "two", [1.0], [], float("inf")]


class Random(random.Random):
    """Calls with some of all that a call can have, right and wrong."""

    def some(self, values: Sequence[Any], *, most: int) -> list[Any]:
        return self.choices(values, k=self.randrange(most + 1))

    def data(self) -> dict[str, Any]:
        names = self.choice(([], ["minutes"], ["minutes"], ["minutes", "hours"]))
        return {name: self.choice(_VALUES) for name in names}

    def references(self, *, most: int) -> list[str]:
        return self.some(_REFERENCES[: self.choice([5, 6, len(_REFERENCES)])], most=most)

    def rows(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """A call for rows."""
        count = self.randrange(4)
        names = self.choice([["user_id"], ["user_id", "minutes"], ["minutes"], ["user_id", "shop_id"], []])
        # Lists are of one type.
        columns = {name: self.choices(_IDS if name == "user_id" else _VALUES[:6], k=count) for name in names}
        return "get_online_features", (self.references(most=3), columns), {"full_feature_names": self.random() < 0.5}

    def options(self) -> dict[str, Any]:
        """Options of a call for users."""
        every = {
            "feature_service": self.choice(["churn_v1", "scores_v1", PACE, PACE, "nope", ""]),
            "features": self.references(most=4),
            "max_age_s": self.choice([0, 1, _DAY_S, 36_600 * _DAY_S, -1]),
            # The ages of FAIL depend on the moment.
            "staleness_policy": self.choice([StalenessPolicy.FLAG, StalenessPolicy.OMIT]),
            "contract_hash": self.choice(["sha256:00", None, None]),
            "request_data": self.data(),
        }
        chosen = {name: value for name, value in every.items() if self.random() < 0.3}
        if "features" in chosen:
            chosen.pop("feature_service", None)
        return chosen

    def call(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Any call: method, positional arguments, keywords."""
        method = self.choice(["get_user_features", "batch_get_user_features", "get_users_features", "rows"])
        if method == "rows":
            return self.rows()
        options = self.options()
        if method == "get_user_features":
            return method, (self.choice(_IDS),), options
        user_ids = self.some(_IDS, most=5)
        if self.random() < 0.3:
            options["request_data_by_user"] = [self.data() for _ in user_ids]
        return method, (user_ids,), options


async def test_calls_at_random_have_the_same_answers(both: list[Asker], face: str) -> None:
    rng = Random(face)
    differing = []
    for _ in range(_CALLS_AT_RANDOM):
        method, arguments, options = rng.call()
        gateway, fake = [await _outcome(ask, method, *arguments, **options) for ask in both]
        if fake != gateway:
            differing.append((method, arguments, options, gateway, fake))
    assert differing == []
