"""The batch scorer, in front of a real gateway."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson
import pandas as pd
import psutil
import pytest
import score_users
from aiohttp import web
from churn_model import ChurnModel
from feature_gateway.settings import Settings
from gateway_fakes import NEVER_WRITTEN, FakeFeatureServer, Gateway, feast_answer
from gateway_process import gateway_process
from score_users import score_file, scored
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_local import ports

_BOUND_S = 240
_SCRIPT = Path(__file__).parents[1] / "score_users.py"


def _users(count: int) -> list[str]:
    return [f"{number % 10_000:04d}-{chr(65 + number // 10_000)}AAAA" for number in range(count)]


def _written(folder: Path, user_ids: Sequence[str]) -> Path:
    file = folder / "users.csv"
    pd.DataFrame({"user_id": user_ids, "region": "north"}).to_csv(file, index=False)
    return file


async def _scored(target: str, model: ChurnModel, user_ids: Sequence[str]) -> pd.DataFrame:
    def ask() -> pd.DataFrame:
        with FeatureClient(target, timeout_s=_BOUND_S) as client:
            bound = client.bind(feature_service=model.feature_service, contract_hash=model.contract_hash)
            return scored(pd.DataFrame({"user_id": user_ids}), model, bound, patience_s=0.0)

    return await asyncio.to_thread(ask)


@pytest.fixture(scope="session")
def model(model_file: Path) -> ChurnModel:
    return ChurnModel.load(model_file)


async def test_each_user_has_a_probability_or_an_error_in_the_order_of_the_file(
    gateway: Gateway, feature_server: FakeFeatureServer, model: ChurnModel
) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        found = feast_answer(body)
        for position, user_id in enumerate(body["entities"]["user_id"]):
            for column in found["results"] if user_id.startswith("0001") else ():
                column["event_timestamps"][position] = NEVER_WRITTEN
                column["values"][position] = None
        return web.json_response(found)

    feature_server.answer = answer
    ids = ["0000-AAAAA", "nobody", "0001-AAAAA", "0002-AAAAA", "0000-AAAAA"]
    scores = await _scored(gateway.addresses.grpc, model, ids)
    assert list(scores["user_id"]) == ids
    assert list(scores["error"].fillna("")) == ["", "INVALID_ARGUMENT", "UNKNOWN_USER", "", ""]
    assert list(scores["churn_probability"].notna()) == [True, False, False, True, True]
    features = {"months_active": 1, "monthly_fee": 29.85, "plan_stream_tv": None, "net_service": "DSL"}
    assert scores["churn_probability"][0] == model.probabilities(pd.DataFrame([features]))[0]


async def test_users_that_get_no_answer_keep_the_error_and_lose_no_others(
    gateway: Gateway, feature_server: FakeFeatureServer, model: ChurnModel
) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if "0007-AAAAA" in body["entities"]["user_id"]:
            return web.json_response("Error connecting to Redis", status=500)
        return web.json_response(feast_answer(body))

    feature_server.answer = answer
    alone = await _scored(gateway.addresses.grpc, model, ["0007-AAAAA"])
    assert (list(alone["error"]), list(alone["churn_probability"].isna())) == (["UNAVAILABLE"], [True])
    assert (await _scored(gateway.addresses.grpc, model, ["0008-AAAAA"]))["error"].isna().all()


async def test_a_gateway_of_another_contract_scores_nobody(gateway: Gateway, model: ChurnModel, tmp_path: Path) -> None:
    users, scores = _written(tmp_path, _users(3)), tmp_path / "scores.csv"

    def ask() -> None:
        with FeatureClient(gateway.addresses.grpc, timeout_s=_BOUND_S) as client:
            other = client.bind(feature_service=model.feature_service, contract_hash="sha256:0")
            score_file(users, scores, model, other)

    with pytest.raises(FeatureServingError, match="contract"):
        await asyncio.to_thread(ask)
    assert not scores.exists()


async def test_a_file_is_scored_in_slices_with_its_other_columns(
    gateway: Gateway, model: ChurnModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_users, "_SLICE_USERS", 1000)
    users, scores = _written(tmp_path, [*_users(2500), "NA", "007"]), tmp_path / "scores.csv"

    def ask() -> pd.Series:
        with FeatureClient(gateway.addresses.grpc, timeout_s=_BOUND_S) as client:
            return score_file(users, scores, model, client.bind(feature_service=model.feature_service))

    outcomes = await asyncio.to_thread(ask)
    assert outcomes.to_dict() == {"scored": 2500, "INVALID_ARGUMENT": 2}
    written = pd.read_csv(scores, dtype={"user_id": str}, keep_default_na=False, na_values={"churn_probability": [""]})
    assert list(written.columns) == ["user_id", "region", "churn_probability", "error"]
    assert list(written["user_id"]) == [*_users(2500), "NA", "007"]
    assert written["churn_probability"].isna().sum() == 2


async def _score_through_a_restart(settings: Settings, model_file: Path, folder: Path, count: int) -> list[int]:
    """Score users while the gateway is killed and started again: every user has a probability.

    Returns the scorer's memory, in bytes, at each line that it prints.
    """
    settings = replace(settings, grpc_port=ports.free_port())
    users, scores = _written(folder, _users(count)), folder / "scores.csv"
    arguments = (str(model_file), str(users), str(scores), "--gateway", f"127.0.0.1:{settings.grpc_port}")
    # A gateway can take long to start on a machine that runs tests.
    patience = ("--patience-s", str(_BOUND_S))
    memory: list[int] = []
    async with asyncio.timeout(_BOUND_S), gateway_process(settings) as first:
        scorer = await asyncio.create_subprocess_exec(
            sys.executable, str(_SCRIPT), *arguments, *patience, stderr=asyncio.subprocess.PIPE
        )
        assert scorer.stderr is not None
        # Its first answer: the scorer is under way.
        assert b"users" in await scorer.stderr.readline()
        first.process.send_signal(signal.SIGKILL)
        await first.process.wait()
        async with gateway_process(settings):
            async for line in scorer.stderr:
                assert line.endswith(b" users\n"), line
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    memory.append(psutil.Process(scorer.pid).memory_info().rss)
            assert await scorer.wait() == 0
    # Users were asked for again: a gateway takes 1,000 at a time.
    assert len(memory) > count / 1000
    written = pd.read_csv(scores, dtype={"user_id": str})
    assert list(written["user_id"]) == _users(count)
    assert written["churn_probability"].notna().all()
    assert written["error"].isna().all()
    return memory


@pytest.mark.slow
async def test_100_000_users_lose_nobody_to_a_gateway_that_is_restarted_and_take_no_more_memory_than_a_part_of_them(
    settings: Settings, model_file: Path, tmp_path: Path
) -> None:
    memory = await _score_through_a_restart(settings, model_file, tmp_path, 100_000)
    assert max(memory[len(memory) // 2 :]) < 1.25 * max(memory[: len(memory) // 2])
