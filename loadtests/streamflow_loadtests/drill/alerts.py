"""The alerts that each fault raises when it lasts for minutes, as docs/runbook.md has them too."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow_loadtests.drill.overload import OVERLOAD

_ERRORS = frozenset({"ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"})
_SLOW = frozenset({"LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly"})
_WAITING = frozenset({"Overload", "CallersStarved"})
_OF_BUSY_MACHINES = _ERRORS | _SLOW | _WAITING


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """What Prometheus raises for a fault."""

    raised: frozenset[str] = frozenset()
    """The alerts that the fault raises."""

    possible: frozenset[str] = frozenset()
    """Further alerts that the fault may raise: how long processes take to start decides, or how many calls fail."""

    why: str
    """What makes these alerts, and no others, right; in one sentence."""

    def complaint(self, fired: frozenset[str], *, void: bool = False) -> str:
        """Return what is wrong with the alerts that fired; "" if nothing is.

        In a drill that is `void`, the machine was so busy that calls may have been slow, late or refused by that alone.
        """
        missing, others = self.raised - fired, fired - self.raised - self.possible
        if void:
            others -= _OF_BUSY_MACHINES
        parts = [f"{', '.join(sorted(missing))} did not fire"] if missing else []
        return "; ".join(parts + ([f"{', '.join(sorted(others))} fired"] if others else []))


_OUTAGE = Alerts(
    raised=_ERRORS | {"GatewayNotReady"},
    possible=_SLOW | _WAITING | {"ReplicasSetAside"},
    why="No call is answered, and the canary's reads fail too.",
)

ALERTS: Mapping[str, Alerts] = {
    "nothing": Alerts(why="Nothing is done."),
    "a feature server killed": Alerts(
        raised=frozenset({"ReplicasSetAside"}), why="The other feature server answers all calls."
    ),
    "feature servers restarted in turn": Alerts(
        possible=frozenset({"ReplicasSetAside"}), why="Each is away for less than five minutes, and no call fails."
    ),
    "a feature server frozen": Alerts(
        raised=frozenset({"ReplicasSetAside"}), why="Its reads run out of time; calls that were there first fail."
    ),
    "all feature servers frozen": _OUTAGE,
    "a feature server gone from DNS while it hangs": Alerts(
        possible=frozenset({"ReplicasSetAside"}), why="A feature server that leaves DNS takes its alert along."
    ),
    "Valkey frozen": _OUTAGE,
    "Valkey killed": _OUTAGE,
    "Valkey restarted empty": Alerts(
        possible=_ERRORS, why="Calls are answered with NOT_FOUND, which is no error, until materialize has run."
    ),
    "an emptied source": Alerts(raised=frozenset({"MaterializeFailed"}), why="The job refuses to write."),
    "PostgreSQL stopped": Alerts(why="Calls do not read PostgreSQL, and no job runs meanwhile."),
    "PostgreSQL restarted": Alerts(why="Calls do not read PostgreSQL, and no job runs meanwhile."),
    "gateways restarted in turn": Alerts(why="No call fails, and each is back within five minutes."),
    "gateways restarted behind a balancer": Alerts(why="No call fails, and each is back within five minutes."),
    "a feature server 100 ms slower": Alerts(possible=_SLOW, why="Most reads are of the other feature server."),
    "all feature servers 100 ms slower": Alerts(
        raised=frozenset({"LatencyBudgetBurnsFast"}),
        possible=_ERRORS | _SLOW | _WAITING,
        why="All calls take longer than 20 ms, and few fail.",
    ),
    "unread streams": Alerts(why="The gateway reads no more of these streams, and no call fails."),
    "a principal that floods": Alerts(
        possible=_ERRORS | _SLOW | _WAITING, why="Groups take turns, and the others have theirs."
    ),
    "the clock jumps": Alerts(why="Timers and deadlines go by another clock, and the views have no maximum age."),
    "feast apply": Alerts(why="Each contract is in service within two refreshes of the registry."),
    "materialize": Alerts(why="The job succeeds."),
    "bad contracts": Alerts(
        raised=frozenset({"ContractNotInService"}), why="Calls are answered by the contract before."
    ),
    "disk full for logs": Alerts(
        possible=frozenset({"ReplicasSetAside"}), why="The feature server is started again, and no call fails."
    ),
    OVERLOAD: Alerts(
        raised=_ERRORS | {"Overload"}, possible=_SLOW, why="Four of five calls are refused, which is an error."
    ),
}
"""By the name of the fault. `monitoring/tests/test_drill_alerts.py` does each fault, and holds the alerts to this."""
