"""The parts of a load test that need no load: what is drawn, what is counted, how it is judged."""

import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import orjson
import pytest
import redis
import streamflow_offline
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from streamflow_loadtests.load import briefing, plot, store, verdict
from streamflow_loadtests.load.options import Options
from streamflow_loadtests.load.pace import Schedule
from streamflow_loadtests.load.questions import Draw, Population, Question
from streamflow_loadtests.load.recorder import Recorder
from streamflow_loadtests.load.report import report_of
from streamflow_loadtests.load.scenarios import SCENARIOS, Kind
from streamflow_loadtests.load.serving import Serving
from streamflow_loadtests.load.targets import TARGETS, Features
from streamflow_loadtests.load.verdict import Held, Measured
from streamflow_loadtests.measuring.durations import Durations
from streamflow_loadtests.measuring.lateness import Lateness

_FEATURES = Features(service="churn_v1", join_key="user_id", references=("a_fv:x", "b_fv:y"))
_USERS = [f"{number:04}-ABCDE" for number in range(200)]
_OPTIONS = Options(
    scenario="single",
    rate=0.0,
    targets="gateway-grpc",
    batch_size=3,
    zipf_exponent=1.1,
    feature_service="churn_v1",
    timeout_ms=1000.0,
    gateway_grpc="127.0.0.1:1",
    gateway_http="http://127.0.0.1:1",
    feast_http="http://127.0.0.1:1",
    max_error_rate=0.1,
    max_p99_ms=100.0,
    max_user_ids=10,
    seed=0,
    report_dir="",
)


def _draw(scenario: str, *, seed: str = "0", batches: bool = True) -> Draw:
    population = Population(_USERS, zipf_exponent=1.1)
    return Draw(population, asks=SCENARIOS[scenario].asks, batch_size=3, seed=seed, batches=batches)


def test_a_scenario_draws_the_kinds_of_calls_that_it_is_made_of() -> None:
    draw = _draw("mixed")
    kinds = Counter(draw.question().kind for _ in range(4000))
    assert kinds[Kind.ONE] / 4000 == pytest.approx(0.8, abs=0.05)
    assert kinds[Kind.BATCH] / 4000 == pytest.approx(0.15, abs=0.05)
    assert kinds[Kind.UNKNOWN] / 4000 == pytest.approx(0.05, abs=0.03)
    assert {_draw("mixed", batches=False).question().kind for _ in range(50)} <= {Kind.ONE, Kind.UNKNOWN}


def test_calls_ask_for_users_of_the_store_and_unknown_ones_for_none_of_them() -> None:
    draw = _draw("mixed")
    for _ in range(500):
        question = draw.question()
        assert (set(question.user_ids) <= set(_USERS)) == question.known
        assert len(set(question.user_ids)) == (3 if question.kind is Kind.BATCH else 1)
        assert all(
            user_id[4] == "-" and user_id[:4].isdigit() and user_id[5:].isupper() for user_id in question.user_ids
        )


def test_a_few_hot_users_get_most_of_the_calls() -> None:
    draw = _draw("hot-keys")
    asked = Counter(draw.question().user_ids[0] for _ in range(5000))
    hottest = [user_id for user_id, _ in asked.most_common(20)]
    assert sum(asked[user_id] for user_id in hottest) > 2500
    assert hottest[0] == _USERS[0]


def test_the_same_seed_asks_the_same() -> None:
    def first(seed: str) -> list[Question]:
        draw = _draw("mixed", seed=seed)
        return [draw.question() for _ in range(20)]

    assert first("7") == first("7") != first("8")


@pytest.mark.parametrize(
    ("scenario", "levels"),
    [("single", [1, 1, 1]), ("ramp", [0.05, 0.5, 0.99]), ("spike", [0.2, 1, 0.2]), ("soak", [1, 1, 1])],
)
def test_a_scenario_has_its_share_of_the_load_at_its_beginning_middle_and_end(
    scenario: str, levels: list[float]
) -> None:
    assert [SCENARIOS[scenario].level(done) for done in (0.0, 0.5, 0.99)] == levels


def test_the_users_are_read_from_the_keys_that_feast_writes(redis_url: str, tmp_path: Path) -> None:
    url = f"{redis_url}/10"
    password = tmp_path / "password"
    password.write_text("secret\n")
    with redis.Redis.from_url(url) as client:
        for user_id in _USERS:
            key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
            client.hset(_redis_key("streamflow", key, 3), "feature", "value")
        other = EntityKey(join_keys=["device"], entity_values=[Value(string_val="d")])
        client.hset(_redis_key("streamflow", other, 3), "feature", "value")
        client.set("something else", "value")
        try:
            assert store.user_ids({"REDIS_URL": url}, join_key="user_id", at_most=1000) == _USERS
            assert len(store.user_ids({"REDIS_URL": url}, join_key="user_id", at_most=7)) == 7
            with pytest.raises(store.StoreError, match="has no users; materialize first"):
                store.user_ids({"REDIS_URL": url}, join_key="nobody", at_most=7)
            # This one has no password, and says so.
            environment = {"REDIS_URL": url, "REDIS_PASSWORD_FILE": str(password)}
            with pytest.raises(store.StoreError, match=r"can't be read: AuthenticationError"):
                store.user_ids(environment, join_key="user_id", at_most=7)
        finally:
            client.flushdb()


def test_a_store_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(store.StoreError, match=r"REDIS_URL is not set"):
        store.user_ids({}, join_key="user_id", at_most=7)
    with pytest.raises(store.StoreError, match=r"at 127\.0\.0\.1:1 can't be read: ConnectionError") as refusal:
        store.user_ids({"REDIS_URL": "redis://user:secret@127.0.0.1:1"}, join_key="user_id", at_most=7)
    assert "secret" not in str(refusal.value)


def test_a_gateway_that_is_not_there_is_named() -> None:
    with pytest.raises(
        briefing.BriefingError, match=r"gateway at 127\.0\.0\.1:1 does not answer \(UNAVAILABLE\); `make up`"
    ):
        briefing.brief(_OPTIONS, users=1, targets=[TARGETS["gateway-grpc"]], environment={})


def test_a_briefing_is_the_same_on_a_worker() -> None:
    made = briefing.Briefing(user_ids=tuple(_USERS), features=_FEATURES, users=24)
    assert briefing.Briefing.of_wire(orjson.loads(orjson.dumps(made.to_wire()))) == made


def test_percentiles_are_right_to_one_in_a_hundred() -> None:
    durations = Durations()
    for number in range(1, 1001):
        durations.add(number / 10)
    assert durations.percentile(0.5) == pytest.approx(50, rel=0.01)
    assert durations.percentile(0.99) == pytest.approx(99, rel=0.01)
    assert durations.percentile(1) == 100
    assert durations.over(90) == pytest.approx(100, abs=10)
    assert Durations().percentile(0.99) == 0


def test_what_workers_have_counted_adds_up_on_their_master() -> None:
    workers, master = [Recorder(), Recorder()], Recorder()
    for number, worker in enumerate(workers):
        for second in range(3):
            worker.add("a call", due_at_s=1000.2 + second, duration_ms=10 * (number + 1), failure="UNAVAILABLE")
        # As msgpack does on its way, tuples become lists.
        master.merge(orjson.loads(orjson.dumps(worker.drain())))
        assert worker.names() == []
    total = master.total("a call")
    assert (total.calls, total.failures, total.durations.max_ms) == (6, {"UNAVAILABLE": 6}, 20)
    assert {second: cell.calls for second, cell in master.by_second("a call").items()} == {1000: 2, 1001: 2, 1002: 2}
    assert master.duration_s == pytest.approx(2.02)


def test_an_open_loops_calls_are_due_at_even_distances_from_its_first() -> None:
    schedule = Schedule(calls_per_s=10, now_s=100, phase=0.5)
    assert [schedule.take() for _ in range(3)] == pytest.approx([100.05, 100.15, 100.25])
    assert [schedule.missed(now_s) for now_s in (100.3, 100.36, 100.5)] == [0, 1, 2]


def _recorder(*durations_ms: float, failures: int = 0) -> Recorder:
    recorder = Recorder()
    for number, duration_ms in enumerate(durations_ms):
        failure = "DEADLINE_EXCEEDED" if number < failures else None
        recorder.add("gateway gRPC: 1 user", due_at_s=1000 + number, duration_ms=duration_ms, failure=failure)
    return recorder


def _lateness(*late_ms: float, missed: int = 0) -> Lateness:
    lateness = Lateness(missed=missed)
    for duration_ms in late_ms:
        lateness.begun.add(duration_ms)
    return lateness


def _complaints(recorder: Recorder, lateness: Lateness | None = None) -> list[str]:
    report = report_of(recorder, lateness or Lateness(), _OPTIONS, labels=["gateway gRPC"], faults=[])
    lines = list(report.lines())
    assert [line.removeprefix("FAILED: ") for line in lines if line.startswith("FAILED: ")] == list(report.complaints)
    assert lines[-1].startswith("FAILED" if report.complaints else "passed")
    return list(report.complaints)


def test_a_run_passes_within_its_limits_and_says_which_it_broke() -> None:
    assert _complaints(_recorder(*[10] * 20, failures=2)) == []
    [errors] = _complaints(_recorder(*[10] * 20, failures=3))
    assert errors == "error rate of gateway gRPC: 1 user is 15.00%, more than 10.00%: 3 DEADLINE_EXCEEDED"
    [slow] = _complaints(_recorder(*[10] * 20, 500))
    assert slow == "p99 of gateway gRPC: 1 user is 500.0 ms, more than 100 ms"
    assert _complaints(Recorder()) == ["no call of gateway gRPC was made"]


def test_a_generator_that_does_not_keep_its_rate_makes_the_run_fail() -> None:
    assert _complaints(_recorder(10), _lateness(*[1] * 99, missed=1)) == []
    [complaint] = _complaints(_recorder(10), _lateness(*[1] * 90, missed=10))
    assert complaint.startswith("the generator did not keep its rate: it began 90 of 100 calls")


def test_a_generator_that_was_late_is_told_of() -> None:
    late = report_of(_recorder(10), _lateness(*[1] * 97, 20, 20, 20), _OPTIONS, labels=[], faults=[])
    assert late.generator_late
    assert "generator: more than 1 % of the calls began 10 ms late" in "\n".join(late.lines())
    assert not report_of(_recorder(10), _lateness(*[1] * 99, 20), _OPTIONS, labels=[], faults=[]).generator_late


def test_a_run_without_calls_has_a_picture_too(tmp_path: Path) -> None:
    for recorder in (Recorder(), _recorder(1, 2, 3, failures=1)):
        plot.write(recorder, tmp_path / "latency.png", title="a run")
        assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def _measured(target: str, name: str, p50_ms: float, *, held: Held | None = None) -> Measured:
    row = {"name": name, "calls": 1000, "calls_per_s": 100.0, "p50_ms": p50_ms, "p99_ms": 2 * p50_ms}
    used = Serving(cpu_s=0.7, in_gateway_s=1.5, calls=500)
    return Measured.of(target, {"rows": [row], "cpu_s": 0.4}, used, held=held)


def test_a_comparison_ends_with_what_to_conclude(tmp_path: Path) -> None:
    gateway = _measured("gateway-grpc", "gateway gRPC: 1 user", 4.0, held=Held(calls_per_s=800, limit="locust"))
    feast = _measured("feast-http", "feast serve: 1 user", 6.0, held=Held(calls_per_s=200, limit="the servers"))
    told = list(verdict.lines([gateway, feast], rate=100))
    assert told[0] == "each target alone on the stack, open loop, 100 calls/s each; ms, and CPU ms a call"
    assert told[3].split()[-8:] == ["100.00", "4.00", "8.00", "3.00", "0.70", "0.40", "≥", "800"]
    assert told[4].split()[-7:] == ["100.00", "6.00", "12.00", "-", "0.70", "0.40", "200"]
    assert told[6:] == [
        "A call of the gateway over gRPC takes 4.0 ms (p50) and 8.0 ms (p99), one of feast serve 6.0 and 12.0.",
        "The servers use 0.70 ms of CPU for the one and 0.70 ms for the other.",
        "A gRPC call is 3.00 ms (mean) in the gateway; the rest is gRPC on both sides, and locust.",
        "Locust itself uses 0.40 ms of CPU for a gRPC call, and 0.40 ms for one over HTTP.",
        "Within the limits each holds: gateway gRPC: 1 user ≥ 800 calls/s; feast serve: 1 user 200 calls/s.",
        "Where it says ≥, locust is the limit, not the servers: `make bench` asks with faster clients.",
    ]
    plot.compare([gateway, feast], tmp_path / "compare.png", title=told[0], conclusion=told[6:])
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_the_options_are_read_by_their_names() -> None:
    assert Options.of(Namespace(**vars(_OPTIONS), host=None)) == _OPTIONS


def test_locust_needs_nothing_that_its_image_has_not() -> None:
    modules = "streamflow_loadtests.load.locustfile, streamflow_loadtests.load.command"
    absent = {"aiohttp", "feast", "matplotlib", "psycopg", "streamflow_features", "streamflow_local", "streamflow_repo"}
    # The image has this package without what its other modules import.
    absent |= {f"streamflow_offline.{path.stem}" for path in Path(streamflow_offline.__path__[0]).iterdir()}
    absent -= {"streamflow_offline.__init__", "streamflow_offline.user_keys"}
    program = f"import sys, {modules}; found = {absent} & set(sys.modules); sys.exit(repr(found) if found else 0)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
