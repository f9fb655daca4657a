"""The page *Now* says what the gateway does, and did in the last minutes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web
from feature_gateway.metrics import SECONDS
from feature_gateway.observer import FeatureServerState
from feature_gateway.pages.lines import number, plot_of, round_up
from feature_gateway.pages.now import errors_of, servers_of
from feature_gateway.pages.rates import quantile_s
from feature_gateway.pages.samples import KEPT_S, Samples
from feature_gateway.settings import Settings
from feature_gateway.totals import Totals
from gateway_fakes import FakeFeatureServer, Gateway, serving
from metric_samples import ask
from page_reader import Page, page_of

_PATH = "/pages/now"
_BOUND_S = 60


async def _once(gateway: Gateway, shows: Callable[[Page], bool]) -> Page:
    """The page as soon as it shows something."""
    async with asyncio.timeout(_BOUND_S):
        while not shows(page := await page_of(gateway, _PATH)):
            pass
        return page


def _figures(page: Page) -> dict[str, str]:
    return {one.one("dt").words: one.one("dd").words for one in page.main.one("dl", class_="figures").all("div")}


def _section(page: Page, name: str) -> list[list[str]]:
    """The rows of a section's table, without the header."""
    return [row for region in page.main.all("div", aria_labelledby=name) for row in region.rows[1:]]


async def test_calls_errors_and_feature_servers_are_there_within_seconds(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    for _ in range(5):
        await ask(gateway)
    for _ in range(2):
        await ask(gateway, feature_service="nope")
    page = await _once(gateway, lambda page: len(_section(page, "errors")) == 1)
    assert _section(page, "errors") == [["FEATURE_SERVICE_UNKNOWN", "2", "2", "2"]]
    figures = _figures(page)
    assert float(figures["Calls a second"]) > float(figures["Errors a second"]) > 0
    assert figures["p99"].endswith(" ms")
    assert figures["Slots taken"].endswith(" of 1")
    ((url, state, *_, ejections),) = _section(page, "servers")
    assert (url, state, ejections) == (feature_server.url, "In service", "0")
    plots = page.main.all("svg", role="img")
    assert [str(plot.attributes["aria-label"]).split(", now: ")[0] for plot in plots] == [
        "Calls a second",
        "How long calls took",
        "What calls waited for, p99",
    ]
    assert all("none" not in str(plot.attributes["aria-label"]) for plot in plots[:2])


async def test_an_ejected_feature_server_is_shown_as_such(settings: Settings) -> None:
    nothing = "http://127.0.0.1:1"
    urls = (*settings.feature_server_urls, nothing)
    async with serving(replace(settings, feature_server_urls=urls)) as gateway:
        for _ in urls:
            await ask(gateway)
        page = await _once(gateway, lambda page: {row[1] for row in _section(page, "servers")} != {"In service"})
    assert {row[0]: row[1] for row in _section(page, "servers")} == {urls[0]: "In service", nothing: "Ejected"}


async def test_a_gateway_that_is_not_ready_says_why(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async def fails(_: web.Request) -> web.Response:
        return web.json_response("Error 111 connecting to 127.0.0.1:6380. Connection refused.", status=500)

    feature_server.canary_answer = fails
    async with serving(settings) as gateway:
        page = await page_of(gateway, _PATH)
    assert "Not ready" in page.words
    assert "no canary read has succeeded yet" in page.words


class _Counted:
    """What a gateway would have counted: some calls a second of one duration, and some errors."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.answered = 0
        self.url = "http://a"

    def totals(self) -> Totals:
        calls = [0] * (len(SECONDS) + 1)
        calls[1] = int(10 * self.now_s)
        nothing = tuple([0] * len(calls))
        return Totals({"OVERLOADED": int(2 * self.now_s)}, tuple(calls), nothing, nothing, nothing)

    def servers(self) -> dict[str, FeatureServerState]:
        reads = {"answered": (self.answered, 0.004 * self.answered), "failed": (3, 0.0), "given_up": (0, 0.0)}
        return {self.url: FeatureServerState(reads, 1, ejected=False, ejections=2)}


def _after(seconds: int) -> tuple[_Counted, Samples]:
    counted = _Counted()
    samples = Samples(counted.totals, counted.servers, now_s=lambda: counted.now_s)
    for _ in range(seconds):
        counted.now_s += 1
        counted.answered += 7
        samples.take()
    return counted, samples


def test_rates_are_those_of_the_last_seconds_and_five_minutes_are_kept() -> None:
    _, samples = _after(KEPT_S + 50)
    assert len(samples.kept) == len(samples.moments) == KEPT_S + 1
    newest = samples.moments[-1]
    assert (newest.calls_per_s, newest.errors_per_s) == (10.0, 2.0)
    # All calls are between the first bound and the second, half of them below its middle.
    assert newest.call_p50_ms == pytest.approx(1000 * (SECONDS[0] + SECONDS[1]) / 2)
    assert newest.queue_p99_ms is None
    assert errors_of(samples.kept) == [("OVERLOADED", 120, 600, 700)]


def test_the_first_sample_has_no_rates() -> None:
    counted, samples = _after(0)
    assert samples.moments[0].calls_per_s is None
    assert servers_of(samples.kept, counted.servers())[0].rate == "none"


def test_a_feature_server_has_the_reads_of_a_minute_and_a_new_one_those_since_it_came() -> None:
    counted, samples = _after(100)
    (line,) = servers_of(samples.kept, counted.servers())
    assert (line.rate, line.mean, line.failed, line.ejections) == ("7", "4 ms", 0, 2)
    counted.url = "http://new"
    (line,) = servers_of(samples.kept, counted.servers())
    assert (line.url, line.rate, line.mean) == ("http://new", "0", "none")


@pytest.mark.parametrize(
    ("counts", "share", "expected_s"),
    [
        ((0, 0, 0), 0.5, None),
        ((10, 0, 0), 0.5, 0.5),
        ((0, 10, 0), 0.5, 2.0),
        ((5, 5, 0), 0.75, 2.0),
        ((0, 0, 4), 0.5, 3.0),
        ((99, 1, 0), 0.99, 1.0),
    ],
)
def test_a_quantile_lies_on_a_straight_line_within_its_bound(
    counts: tuple[int, ...], share: float, expected_s: float | None
) -> None:
    found_s = quantile_s(counts, (1.0, 3.0), share)
    assert found_s == (None if expected_s is None else pytest.approx(expected_s))


@pytest.mark.parametrize(
    ("value", "text"), [(None, "none"), (0.0, "0"), (0.256, "0.26"), (12.34, "12.3"), (1234.5, "1,234"), (7.0, "7")]
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value, "") == text


def test_what_is_too_short_to_measure_is_told_as_such() -> None:
    assert number(0.3, "ms", least=0.5) == "under 0.5 ms"


def test_a_plot_reaches_to_a_round_number_and_breaks_where_there_is_no_value() -> None:
    assert [round_up(value) for value in (0, 0.03, 1, 1.1, 21, 99)] == [1, 0.05, 1, 2, 50, 100]
    plot = plot_of("Title", "ms", {"a": [(30, 0), (20, 4), (10, None), (0, 2)]}, span_s=30)
    assert [text for _, text in plot.marks] == ["0 ms", "2.5 ms", "5 ms"]
    assert plot.lines[0].path.count("M") == 2
    assert plot.summary == "Title, now: a 2 ms"
