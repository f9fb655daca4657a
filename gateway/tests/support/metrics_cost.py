"""`python metrics_cost.py` prints the CPU time that metrics take of a call with one row, in µs.

Rows have the same event timestamps, as those of a month's snapshot have, or all differ. What a scrape adds up counts.
"""

import time
from pathlib import Path
from statistics import median

from feature_gateway.contract.file import load_contract
from feature_gateway.metrics import Metrics
from feature_gateway.values import FeatureStatus, Judgement
from grpc import StatusCode
from prometheus_client import CollectorRegistry

_CONTRACT = Path(__file__).parents[3] / "feature_repo/contract.json"
_CALLS, _ROUNDS = 20_000, 7
_FIRST_NS, _NS_PER_S = 1_709_164_800 * 10**9, 10**9


def _cost_us(*, times: int) -> float:
    feature_set = load_contract(_CONTRACT).services["churn_v1"]
    count = len(feature_set.features)
    kinds = [
        Judgement((FeatureStatus.PRESENT,) * count, (_FIRST_NS + number * _NS_PER_S,) * count, known=True)
        for number in range(times)
    ]
    metrics = Metrics(CollectorRegistry(), methods=("GetUserFeatures",))
    started_s = time.process_time()
    for number in range(_CALLS):
        metrics.call_ended("GetUserFeatures", StatusCode.OK, 0.004)
        metrics.rows_answered(feature_set, kinds[number % times], 1)
    metrics.exposition()
    return (time.process_time() - started_s) / _CALLS * 1e6


def main() -> None:
    """Measure both in turns, and print medians."""
    rounds = [(_cost_us(times=1), _cost_us(times=_CALLS)) for _ in range(_ROUNDS)]
    for name, costs in zip(("the same times", "times that all differ"), zip(*rounds, strict=True), strict=True):
        print(f"{name}: {median(costs):.1f} µs a call")  # noqa: T201  # its output


if __name__ == "__main__":
    main()
