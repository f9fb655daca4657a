"""`streamflow-features` in front of a real gateway: what it prints, and what it ends with."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from gateway_fakes import EVENT_TIMESTAMP, FakeFeatureServer, Gateway, written_contract
from request_data_fakes import reads_of
from streamflow_features import UnknownValue, UserFeatures, Value
from streamflow_features._command.main import main
from streamflow_features._command.output import json_of

_USER = "3413-BMNZE"
_TOKEN = "s3cret-t0ken"
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a thread, and returns its exit code and what it printed."""
    monkeypatch.setenv("STREAMFLOW_FEATURES_TARGET", gateway.addresses.grpc)
    monkeypatch.setenv("STREAMFLOW_FEATURES_TIMEOUT_S", "20")

    async def running(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, arguments)
        return code, *capsys.readouterr()

    return running


async def test_get_prints_a_table_for_people(run: Run) -> None:
    code, out, err = await run("get", _USER, "--service", "churn_v1")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["feature", "value", "status", "event", "timestamp"],
        ["months_active", "1", "PRESENT", EVENT_TIMESTAMP],
        ["monthly_fee", "29.85", "PRESENT", EVENT_TIMESTAMP],
        ["plan_stream_tv", "null", "NULL_VALUE", EVENT_TIMESTAMP],
        ["net_service", "DSL", "PRESENT", EVENT_TIMESTAMP],
    ]


async def test_get_prints_the_json_of_the_gateways_http_api(run: Run, gateway: Gateway) -> None:
    code, out, _ = await run("get", _USER, "--json", "--max-age-s", "60")
    async with ClientSession() as session, session.get(f"{gateway.http_url}/features/{_USER}?max_age_s=60") as reply:
        assert json.loads(out) == await reply.json()
    assert (code, json.loads(out)["statuses"]["months_active"]) == (0, "OUTSIDE_MAX_AGE")


def test_json_has_a_form_for_every_value() -> None:
    moment = datetime(2024, 2, 29, 12, 30, 0, 5, tzinfo=UTC)
    values: dict[str, Value] = {
        "bytes": b"\xff\x00",
        "moments": (moment, None),
        "floats": (math.nan, math.inf, -math.inf, 0.5),
        "big": 2**63 - 1,
        "newer": UnknownValue(99, b"x"),
        "text": "a\u2028b",
    }
    found = json_of(UserFeatures.of(_USER, values, event_timestamps={"big": moment}, stale_age_s=1.5))
    assert found["features"] == {
        "bytes": "/wA=",
        "moments": ["2024-02-29T12:30:00.000005Z", None],
        "floats": ["NaN", "Infinity", "-Infinity", 0.5],
        "big": 9223372036854775807,
        "newer": {"unknown_field": 99},
        "text": "a\u2028b",
    }
    assert (found["event_timestamps"]["big"], found["stale_age_s"]) == ("2024-02-29T12:30:00.000005Z", 1.5)


async def test_get_takes_references_in_their_order(run: Run) -> None:
    code, out, _ = await run(
        "get", _USER, "--feature", "usage_fv:score", "--feature", "profile_fv:net_service", "--json"
    )
    assert (code, json.loads(out)["features"]) == (0, {"score": 0.25, "net_service": "DSL"})


async def test_request_data_are_json_or_texts(
    drivers: Gateway, feature_server: FakeFeatureServer, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"flag": "true", "small": "1", "big": "2", "part": "0.5", "text": "a b=c", "path": "[1, 2.5]"}
    given = [argument for name, text in data.items() for argument in ("--request-data", f"{name}={text}")]
    asked = ["get", "7", "--service", "all_v1", *given, "--target", drivers.addresses.grpc, "--timeout-s", "20"]
    assert await asyncio.to_thread(main, [*asked, "--any-health"]) == 0
    assert "all_out  1.0" in capsys.readouterr().out
    # The gateway's own readiness checks come in between.
    [sent] = reads_of(feature_server)
    assert [sent[name] for name in data] == [[True], [1], [2], [0.5], ["a b=c"], [[1.0, 2.5]]]


async def test_services_and_describe_say_what_can_be_asked_for(run: Run) -> None:
    code, out, _ = await run("services")
    assert (code, [line.split() for line in out.splitlines()][1:]) == (
        0,
        [["churn_v1", "4", "-"], ["scores_v1", "2", "-"]],
    )
    code, out, _ = await run("describe", "scores_v1")
    assert (code, [line.split() for line in out.splitlines()][1:]) == (
        0,
        [
            ["profile_fv__score", "Float32", "profile_fv:score", "-"],
            ["usage_fv__score", "Float64", "usage_fv:score", "86400", "s"],
        ],
    )
    services = json.loads((await run("services", "--json"))[1])
    assert services[1] == json.loads((await run("describe", "scores_v1", "--json"))[1])
    assert (services[1]["join_key"], services[1]["features"][1]["max_age_s"]) == ("user_id", 86400.0)


async def test_ping_says_which_contract_answers_and_fails_for_another(run: Run, tmp_path: Path) -> None:
    contract_hash = json.loads((tmp_path / "contract.json").read_bytes())["hash"]
    code, out, _ = await run("ping", "--json", "--contract-hash", contract_hash)
    pong = json.loads(out)
    assert (code, pong["contract_hash"]) == (0, contract_hash)
    assert 0 < pong["time_s"] < 20
    code, out, _ = await run("ping")
    assert (code, out.split()[2]) == (0, contract_hash)
    code, out, err = await run("ping", "--contract-hash", "sha256:01")
    assert (code, out) == (73, "")
    assert err.startswith("streamflow-features: FAILED_PRECONDITION: ")


async def test_each_status_code_has_an_exit_code(run: Run) -> None:
    for arguments, code, said in (
        (("get", "nobody"), 67, "INVALID_ARGUMENT: "),
        (("describe", "nope"), 69, "NOT_FOUND: There is no feature service 'nope'"),
        (("get", _USER, "--target", "127.0.0.1:1"), 78, "UNAVAILABLE: "),
    ):
        found, out, err = await run(*arguments)
        assert (found, out) == (code, "")
        assert err.startswith(f"streamflow-features: {said}")
        assert err.count("\n") == 1


async def test_a_wrong_use_is_exit_code_2_and_a_missing_file_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in ((), ("get",), ("get", _USER, "--timeout-s", "0"), ("get", _USER, "--request-data", "x")):
        with pytest.raises(SystemExit, match="2"):
            await run(*arguments)
    assert (await run("get", _USER, "--cert-file", "x"))[0] == 2
    code, _, err = await run("get", _USER, "--ca-file", str(tmp_path / "none.pem"))
    assert (code, "No such file or directory" in err) == (1, True)
    monkeypatch.setenv("STREAMFLOW_FEATURES_TIMEOUT_S", "soon")
    code, _, err = await run("get", _USER)
    assert (code, "STREAMFLOW_FEATURES_TIMEOUT_S is 'soon'; set a positive number" in err) == (2, True)


async def test_a_token_is_sent_and_never_printed(
    run: Run, feature_server: FakeFeatureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    async def noting(request: Any) -> Any:
        seen.append(request.headers.get("Authorization"))
        feature_server.answer = None
        return await feature_server.handle(request)

    file = tmp_path / "token"
    file.write_text(f"{_TOKEN}\n", encoding="utf-8")
    feature_server.answer = noting
    assert (await run("get", _USER, "--token-file", str(file)))[0] == 0
    feature_server.answer = noting
    monkeypatch.setenv("STREAMFLOW_FEATURES_TOKEN", _TOKEN)
    assert (await run("get", _USER))[0] == 0
    assert seen == [f"Bearer {_TOKEN}"] * 2
    # A value that can't be a header, which gRPC's own error shows.
    monkeypatch.setenv("STREAMFLOW_FEATURES_TOKEN", f"{_TOKEN}\n")
    code, out, err = await run("get", _USER)
    assert (code, out) == (2, "")
    assert err == "streamflow-features: the authorization is empty, or not printable ASCII on one line\n"


def test_codegen_prints_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract_path, out = written_contract(tmp_path), tmp_path / "typed.py"
    assert main(["codegen", str(contract_path)]) == 0
    printed = capsys.readouterr().out
    assert "class ChurnV1(TypedUserFeatures):" in printed
    assert main(["codegen", str(contract_path), "--out", str(out), "--check"]) == 1
    assert f"{out} differs from {contract_path}; write it again without --check" in capsys.readouterr().err
    assert not out.exists()
    assert main(["codegen", str(contract_path), "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == printed
    assert main(["codegen", str(contract_path), "--out", str(out), "--check"]) == 0
    assert main(["codegen", str(contract_path), "--check"]) == 2
    assert main(["codegen", str(tmp_path / "none.json")]) == 1
    out.write_text("{", encoding="utf-8")
    assert main(["codegen", str(out)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"streamflow-features: {out}: the file is not JSON")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contract.json", "typed.py"]
