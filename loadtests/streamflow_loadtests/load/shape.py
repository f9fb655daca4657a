"""How many users a run has at each moment, by its scenario."""

from locust import LoadTestShape, User
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from streamflow_loadtests.load.hooks import asked
from streamflow_loadtests.load.session import session_of

_SPAWNED_PER_S = 100.0
_MARGIN_S = 0.5


class ScenarioShape(LoadTestShape):
    """The scenario's share of `--users`, for `--run-time` or the scenario's own time."""

    # Locust goes by this to read --users and --run-time, and to show them in its web page.
    use_common_options = True
    abstract = False

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Return how many users there are to be, how fast they come, and which; None once the time is over."""
        runner = self.runner
        if runner is None:
            return None
        parsed = runner.environment.parsed_options
        if parsed is None:
            return None
        session = session_of(runner.environment)
        scenario = session.options.what
        users: list[type[User]] = [kind for kind in runner.user_classes if asked(kind, session)]
        duration_s = parsed.run_time or scenario.duration_s
        over_s = self.get_run_time() - duration_s  # type: ignore[no-untyped-call]  # locust's own
        if over_s < 0:
            level = scenario.level(1 + over_s / duration_s)
            return max(round((parsed.num_users or 1) * level), 1), parsed.spawn_rate or _SPAWNED_PER_S, users
        # Locust ends without what workers have not yet reported, and without what is not yet in its CSV files.
        unreported_s = WORKER_REPORT_INTERVAL if isinstance(runner, MasterRunner) else CSV_STATS_INTERVAL_SEC
        return (0, _SPAWNED_PER_S, users) if over_s < unreported_s + _MARGIN_S else None
