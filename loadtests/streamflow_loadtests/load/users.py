"""The locust users: one for each target, in a closed loop or in an open one."""

import random
import time
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User, task
from locust.env import Environment
from locust.runners import LocalRunner, WorkerRunner

from streamflow_loadtests.load import briefing as plan
from streamflow_loadtests.load.pace import Schedule
from streamflow_loadtests.load.questions import Draw, Question
from streamflow_loadtests.load.session import session_of
from streamflow_loadtests.load.targets import CallError, FeastHttp, GatewayGrpc, GatewayHttp

# A stall of the machine just before the end is no rate that was not kept: of such a rate, more is left over.
_SLACK_S = 0.25


class LoadUser(User):
    """A caller with connections of its own; in an open loop, an even share of all calls."""

    abstract = True
    target: ClassVar[plan.TargetClass]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._session = session_of(environment)
        self._options = options = self._session.options
        number = self._session.next_number()
        runner = environment.runner
        worker = runner.worker_index if isinstance(runner, LocalRunner | WorkerRunner) else 0
        seed = f"{options.seed}/{worker}/{number}"
        addresses = plan.addresses(self.target, options)
        self._target = plan.connect(
            self.target,
            addresses[number % len(addresses)],
            self._session.plan.features,
            timeout_s=options.timeout_s,
        )
        self._draw = Draw(
            self._session.population,
            asks=options.what.asks,
            batch_size=options.batch_size,
            seed=seed,
            batches=self.target.batches,
        )
        self._schedule = self._open_loop(seed) if options.rate else None
        self._under_way = Group()
        self._stopped_s: float | None = None

    def stop(self, force: bool = False) -> bool:  # noqa: FBT001, FBT002  # locust's signature
        """End the user once what it does is done, or at once."""
        # What falls due while it ends is no longer its to do.
        self._stopped_s = self._stopped_s or time.perf_counter()
        return bool(super().stop(force=force))

    def on_stop(self) -> None:
        """Wait for the calls under way, and count those that were due and never begun."""
        if self._schedule is not None:
            stopped_s = self._stopped_s or time.perf_counter()
            self._session.lateness.missed += self._schedule.missed(stopped_s - _SLACK_S)
        self._under_way.join(timeout=self._options.timeout_s)
        self._target.close()

    @task
    def call(self) -> None:
        """Make a call: the next one once this is answered, or each when it is due."""
        question = self._draw.question()
        if self._schedule is None:
            self._ask(question, time.perf_counter())
            return
        due_s = self._schedule.next_s
        gevent.sleep(max(due_s - time.perf_counter(), 0))
        self._schedule.take()
        self._session.lateness.begun.add((time.perf_counter() - due_s) * 1000)
        self._under_way.spawn(self._ask, question, due_s)

    def _open_loop(self, seed: str) -> Schedule:
        calls_per_s = self._options.rate / self._session.plan.users
        # Users that come at once would ask at once for ever.
        phase = random.Random(f"{seed}/phase").random()  # noqa: S311  # repeatable, not secret
        return Schedule(calls_per_s=calls_per_s, now_s=time.perf_counter(), phase=phase)

    def _ask(self, question: Question, due_s: float) -> None:
        """Make a call that was due at a moment of the performance counter, which it is timed from."""
        due_at_s = time.time() - (time.perf_counter() - due_s)
        reply: Any = None
        size = 0
        failure: CallError | None = None
        try:
            reply, size = self._target.ask(question, timeout_s=self._options.timeout_s)
        except CallError as error:
            failure = error
        duration_ms = (time.perf_counter() - due_s) * 1000
        if failure is None:
            failure = self._fault(reply, question)
        name = f"{self.target.label}: {question.name}"
        self._session.recorder.add(
            name, due_at_s=due_at_s, duration_ms=duration_ms, failure=None if failure is None else str(failure)
        )
        self.environment.events.request.fire(
            request_type=self.target.protocol,
            name=name,
            response_time=duration_ms,
            response_length=size,
            exception=failure,
            context={},
            start_time=due_at_s,
        )

    def _fault(self, reply: Any, question: Question) -> CallError | None:
        try:
            self._target.check(reply, question)
        except CallError as error:
            return error
        except (LookupError, TypeError, ValueError):
            return CallError("a reply of another form")
        return None


class GatewayGrpcUser(LoadUser):
    """Asks the gateway over gRPC."""

    abstract = False
    target = GatewayGrpc


class GatewayHttpUser(LoadUser):
    """Asks the gateway over HTTP, which has no call for several users."""

    abstract = False
    target = GatewayHttp


class FeastHttpUser(LoadUser):
    """Asks `feast serve` itself."""

    abstract = False
    target = FeastHttp
