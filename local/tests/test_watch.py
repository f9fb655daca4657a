"""`local watch` shows what the gateway's metrics say of the last seconds."""

import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from stack_under_test import BIN, CANARY, CHECKOUT, Stack
from streamflow_local.supervisor import Supervisor
from streamflow_local.watch.figures import Figures, figures
from streamflow_local.watch.metrics import Moment, Span
from streamflow_local.watch.processes import ProcessLook
from streamflow_local.watch.screen import screen

_METHOD = 'method="GetUserFeatures"'


def _moment(at_s: float, **values: float) -> Moment:
    """A scrape whose values are by name; those of a histogram are its buckets up to 10 ms, 20 ms and for ever."""
    within_10_ms, within_20_ms, calls = (values.get(name, 0.0) for name in ("within_10_ms", "within_20_ms", "calls"))
    return Moment.of_text(
        f"""\
# TYPE gateway_calls_total counter
gateway_calls_total{{{_METHOD},code="OK"}} {calls}
gateway_calls_total{{{_METHOD},code="UNAVAILABLE"}} {values.get("failed", 0.0)}
# TYPE gateway_call_errors_total counter
gateway_call_errors_total{{{_METHOD},reason="UPSTREAM_UNAVAILABLE"}} {values.get("failed", 0.0)}
gateway_call_errors_total{{{_METHOD},reason="OVERLOADED"}} 7.0
# TYPE gateway_call_duration_seconds histogram
gateway_call_duration_seconds_bucket{{{_METHOD},le="0.01"}} {within_10_ms}
gateway_call_duration_seconds_bucket{{{_METHOD},le="0.02"}} {within_20_ms}
gateway_call_duration_seconds_bucket{{{_METHOD},le="+Inf"}} {calls}
# TYPE gateway_ready gauge
gateway_ready {values.get("ready", 1.0)}
# TYPE gateway_queued_calls gauge
gateway_queued_calls 3.0
# TYPE gateway_feature_server_ejected gauge
gateway_feature_server_ejected{{feature_server="http://a:1"}} 0.0
gateway_feature_server_ejected{{feature_server="http://b:1"}} 1.0
# TYPE gateway_feature_server_read_duration_seconds summary
gateway_feature_server_read_duration_seconds_count{{feature_server="http://a:1",outcome="answered"}} {calls}
# TYPE gateway_feature_statuses_total counter
gateway_feature_statuses_total{{feature_view="usage_fv",status="PRESENT"}} {calls}
gateway_feature_statuses_total{{feature_view="usage_fv",status="NOT_FOUND"}} {values.get("missing", 0.0)}
gateway_feature_statuses_total{{feature_view="plan_fv",status="PRESENT"}} 5.0
""",
        at_s=at_s,
    )


def _figures(first: Moment, last: Moment) -> Figures:
    return figures(Span(first, last))


def test_rates_are_of_the_span_alone() -> None:
    found = _figures(_moment(10, calls=1000, failed=5), _moment(14, calls=1200, failed=13))
    assert found.calls_per_s == pytest.approx(52)
    assert found.errors_per_s == {"UPSTREAM_UNAVAILABLE": pytest.approx(2)}
    assert found.feature_servers["http://a:1"].reads_per_s == pytest.approx(50)


def test_counters_of_a_gateway_that_was_started_again_begin_at_0() -> None:
    assert _figures(_moment(0, calls=1000), _moment(2, calls=60)).calls_per_s == pytest.approx(30)


def test_quantiles_are_those_that_prometheus_would_give() -> None:
    found = _figures(
        _moment(0, calls=100, within_10_ms=100, within_20_ms=100),
        _moment(1, calls=200, within_10_ms=150, within_20_ms=200),
    )
    # Of 100 calls, 50 were within 10 ms and 50 within 20 ms.
    assert found.p50_s == pytest.approx(0.010)
    assert found.p99_s == pytest.approx(0.0198)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    found = _figures(_moment(0), _moment(1, calls=100, within_10_ms=1, within_20_ms=1))
    assert found.p99_s == pytest.approx(0.02)


def test_what_was_not_called_has_no_time_and_no_share() -> None:
    found = _figures(_moment(0, calls=5), _moment(1, calls=5))
    assert (found.calls_per_s, found.p50_s, found.p99_s) == (0, None, None)
    assert found.views["plan_fv"].not_found is None
    assert found.views["plan_fv"].age_s is None


def test_the_share_of_features_that_are_not_found_is_by_view() -> None:
    found = _figures(_moment(0), _moment(1, calls=30, missing=10))
    assert found.views["usage_fv"].not_found == pytest.approx(0.25)


def test_the_screen_says_what_is_not_well() -> None:
    found = _figures(_moment(0), _moment(10, calls=100, failed=20, ready=0))
    shown = _shown([_LOOK, _DEAD], found)
    for text in ("FATAL", "not ready", "2.0 UPSTREAM_UNAVAILABLE", "ejected", "3 of 0 rows wait", "last 10 s"):
        assert text in shown
    assert "OVERLOADED" not in shown


def test_without_the_gateway_the_screen_shows_the_processes_and_says_why_there_is_no_more() -> None:
    shown = _shown([_LOOK], None)
    assert "gateway" in shown
    assert "no figures of the gateway: connection refused" in shown


_LOOK = ProcessLook(name="gateway", state="RUNNING", pid=7, port=50051, cpu_s=2.0, memory_bytes=66_000_000, up_s=90.0)
_DEAD = ProcessLook(name="valkey", state="FATAL", pid=None, port=6380, cpu_s=None, memory_bytes=None, up_s=None)


def _shown(looks: list[ProcessLook], found: Figures | None) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(screen(looks, {"gateway": 0.5}, found, reason="connection refused", over_s=10))
    return captured.get()


def test_where_no_stack_runs_watch_says_so(tmp_path: Path) -> None:
    watched = subprocess.run(
        [BIN / "local", "watch", "--once"],
        env={"STREAMFLOW_STATE": str(tmp_path), "PATH": str(BIN)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (watched.returncode, watched.stdout) == (1, "no stack runs here; start one with make up\n")


@pytest.mark.slow
def test_watch_shows_every_process_and_the_calls_that_are_made(either_generated_stack: Stack) -> None:
    stack = either_generated_stack
    # Longer than the calls take, on a machine that does other work.
    with subprocess.Popen(
        [BIN / "local", "watch", "--once", "--interval-s", "10"],
        env=stack.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        while watching.poll() is None:
            stack.ask(CANARY)
        assert watching.stdout is not None
        shown = watching.stdout.read()
    assert watching.returncode == 0
    rows = {tuple(line.split()[:3]) for line in shown.splitlines()}
    for name, pid in stack.pids().items():
        assert (name, "RUNNING", str(pid)) in rows, shown
    assert float(_after(shown, "calls a second").replace(",", "")) > 0
    assert _after(shown, "GetUserFeatures p99").endswith(" ms")
    assert float(_after(shown, "GetUserFeatures p50").removesuffix(" ms")) > 0
    assert "usage_agg_30d_fv" in shown


@pytest.mark.slow
def test_watch_works_when_the_gateway_is_down_and_says_so(own_servers_stack: Stack) -> None:
    stack = own_servers_stack
    supervisor = Supervisor(stack.layout)
    supervisor.stop_process("gateway")
    try:
        watched = subprocess.run(
            ["make", "-s", "watch", "ARGS=--once"],
            cwd=CHECKOUT,
            env=stack.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        supervisor.start_process("gateway")
        stack.wait_until_healthy()
    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert "STOPPED" in watched.stdout
    assert "no figures of the gateway: <urlopen error [Errno 111] Connection refused>" in watched.stdout


def _after(shown: str, name: str) -> str:
    (line,) = [line for line in shown.splitlines() if line.startswith(name)]
    return line.removeprefix(name).strip()
