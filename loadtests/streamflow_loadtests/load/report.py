"""What a run came to: a line a kind of call, how the generator did, and what was not as it must be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamflow_loadtests.load.options import Options
from streamflow_loadtests.load.recorder import Counts, Recorder
from streamflow_loadtests.measuring.lateness import LATE_MS, Lateness


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one kind of call."""

    name: str
    calls: int
    failed: Mapping[str, int]
    """Failed calls by what they failed with."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run's figures, and whether they are as they must be."""

    options: Options
    rows: Sequence[Row]

    lateness: str | None
    """How late the generator was; None in a closed loop."""

    generator_late: bool
    """Whether more than one call in a hundred began so late that it shows in the figures."""

    complaints: Sequence[str]
    """Why the run has failed; empty: it has passed."""

    cpu_s: float | None = None
    """The generator's CPU time; None where workers make the calls."""

    def lines(self) -> Iterable[str]:
        """Yield it as text, the verdict last."""
        loop = f"open loop, {self.options.rate:g} calls/s" if self.options.rate else "closed loop"
        yield f"scenario {self.options.scenario} ({self.options.what.what}), {loop}"
        yield ""
        width = max((len(row.name) for row in self.rows), default=0)
        yield f"{'':<{width}} {'calls':>8} {'failed':>7} {'calls/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"
        for row in self.rows:
            yield (
                f"{row.name:<{width}} {row.calls:>8,} {sum(row.failed.values()):>7,} {row.calls_per_s:>8.1f} "
                f"{row.p50_ms:>8.1f} {row.p99_ms:>8.1f} {row.max_ms:>8.0f}"
            )
        yield ""
        if self.lateness is not None:
            yield f"generator: {self.lateness}"
        if self.generator_late:
            yield f"generator: more than 1 % of the calls began {LATE_MS:g} ms late; the figures have that in them"
        yield from (f"FAILED: {complaint}" for complaint in self.complaints)
        if not self.complaints:
            yield (
                f"passed: at most {self.options.max_error_rate:.2%} failed, "
                f"and p99 at most {self.options.max_p99_ms:g} ms, of each kind of call"
            )

    def as_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {**asdict(self), "passed": not self.complaints}


def report_of(
    recorder: Recorder,
    lateness: Lateness,
    options: Options,
    *,
    labels: Iterable[str],
    faults: Iterable[str],
    cpu_s: float | None = None,
) -> Report:
    """Return the report of a run that was to ask all targets of `labels`; each of `faults` makes it fail."""
    names = recorder.names()
    totals = {name: recorder.total(name) for name in names}
    complaints = list(faults)
    complaints += [
        f"no call of {label} was made" for label in labels if not any(name.startswith(f"{label}: ") for name in names)
    ]
    for name, counts in totals.items():
        complaints += _complaints(name, counts, options)
    if not lateness.kept:
        complaints.append(
            f"the generator did not keep its rate: it began {lateness.begun.total:,} of {lateness.due:,} calls; "
            "lower --rate, or add workers"
        )
    return Report(
        options=options,
        rows=[_row(name, counts, recorder.duration_s) for name, counts in totals.items()],
        lateness=str(lateness) if options.rate else None,
        generator_late=lateness.often,
        complaints=complaints,
        cpu_s=cpu_s,
    )


def _row(name: str, counts: Counts, duration_s: float) -> Row:
    durations = counts.durations
    return Row(
        name=name,
        calls=counts.calls,
        failed=dict(counts.failures),
        calls_per_s=counts.calls / duration_s,
        p50_ms=durations.percentile(0.5),
        p99_ms=durations.percentile(0.99),
        p999_ms=durations.percentile(0.999),
        max_ms=durations.max_ms,
    )


def _complaints(name: str, counts: Counts, options: Options) -> list[str]:
    complaints = []
    if counts.error_rate > options.max_error_rate:
        kinds = ", ".join(f"{count:,} {what}" for what, count in counts.failures.most_common(3))
        complaints.append(
            f"error rate of {name} is {counts.error_rate:.2%}, more than {options.max_error_rate:.2%}: {kinds}"
        )
    p99_ms = counts.durations.percentile(0.99)
    if p99_ms > options.max_p99_ms:
        complaints.append(f"p99 of {name} is {p99_ms:.1f} ms, more than {options.max_p99_ms:g} ms")
    return complaints
