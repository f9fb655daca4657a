"""Whether servers are silent: no answer to any caller within a fair time."""

import asyncio

from feature_gateway.upstream.read_times import ReadTimes


async def test_servers_are_silent_after_a_fair_time_without_an_answer() -> None:
    times = ReadTimes()
    assert times.silent(1.0)
    assert not times.silent(0.004)
    for _ in range(20):
        times.add(0.02)
    assert not times.silent(0.03)
    assert times.silent(0.05)
    times.answered()
    assert not times.silent(1.0)
    await asyncio.sleep(times.fair_s)
    assert times.silent(1.0)


def test_a_fair_time_is_what_nearly_all_recent_reads_took_and_twice_their_median() -> None:
    times = ReadTimes()
    assert times.fair_s == 0.005
    for _ in range(94):
        times.add(0.01)
    assert times.fair_s == 0.02
    for _ in range(6):
        times.add(0.3)
    assert times.fair_s == 0.3
    for _ in range(200):
        times.add(0.001)
    assert times.fair_s == 0.005
