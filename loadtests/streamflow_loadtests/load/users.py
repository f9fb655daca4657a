"""The locust users: one for each target, in a closed loop or in an open one."""

import random
import time
from typing import ClassVar

import gevent
from gevent.pool import Group
from locust import User, task
from locust.env import Environment
from locust.runners import LocalRunner, WorkerRunner

from streamflow_loadtests.callers.calls import Request
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.load.pace import Schedule
from streamflow_loadtests.load.questions import Draw, Question
from streamflow_loadtests.load.session import session_of
from streamflow_loadtests.load.targets import TARGETS, Target, check

# A stall of the machine just before the end is no rate that was not kept: of such a rate, more is left over.
_SLACK_S = 0.25


class LoadUser(User):
    """A caller with connections of its own; in an open loop, an even share of all calls."""

    abstract = True
    target: ClassVar[Target]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._session = session_of(environment)
        self._options = options = self._session.options
        number = self._session.next_number()
        runner = environment.runner
        worker = runner.worker_index if isinstance(runner, LocalRunner | WorkerRunner) else 0
        seed = f"{options.seed}/{worker}/{number}"
        addresses = self.target.addresses(options)
        self._api = self.target.api(self._session.briefing.features, options)
        self._connection = self.target.connect(
            addresses[number % len(addresses)], timeout_s=options.timeout_s, security=self._session.security
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
        self._connection.close()

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
        calls_per_s = self._options.rate / self._session.briefing.users
        # Users that come at once would ask at once for ever.
        phase = random.Random(f"{seed}/phase").random()  # noqa: S311  # repeatable, not secret
        return Schedule(calls_per_s=calls_per_s, now_s=time.perf_counter(), phase=phase)

    def _ask(self, question: Question, due_s: float) -> None:
        """Make a call that was due at a moment of the performance counter, which it is timed from."""
        due_at_s = time.time() - (time.perf_counter() - due_s)
        request = self._api.request(question.user_ids)
        reply = b""
        failure: CallError | None = None
        try:
            reply = self._connection.send(request)
        except CallError as error:
            failure = error
        duration_ms = (time.perf_counter() - due_s) * 1000
        if failure is None:
            failure = self._fault(request, reply, question)
        name = f"{self.target.label}: {question.name}"
        self._session.recorder.add(
            name, due_at_s=due_at_s, duration_ms=duration_ms, failure=None if failure is None else failure.code
        )
        self.environment.events.request.fire(
            request_type=self.target.protocol,
            name=name,
            response_time=duration_ms,
            response_length=len(reply),
            exception=None if failure is None else CallError(failure.code),
            context={},
            start_time=due_at_s,
        )

    def _fault(self, request: Request, reply: bytes, question: Question) -> CallError | None:
        try:
            check(self._api.replies(request, reply), question, self._session.briefing.features)
        except CallError as error:
            return error
        return None


class GatewayGrpcUser(LoadUser):
    """Asks the gateway over gRPC."""

    abstract = False
    target = TARGETS["gateway-grpc"]


class GatewayHttpUser(LoadUser):
    """Asks the gateway over HTTP, which has no call for several users."""

    abstract = False
    target = TARGETS["gateway-http"]


class FeastHttpUser(LoadUser):
    """Asks `feast serve` itself."""

    abstract = False
    target = TARGETS["feast-http"]
