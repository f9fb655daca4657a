"""One process's part of a run, as its users and hooks share it."""

import os
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

from locust.env import Environment
from locust.runners import LocalRunner

from streamflow_loadtests.load.briefing import Briefing
from streamflow_loadtests.load.options import Options
from streamflow_loadtests.load.questions import Population
from streamflow_loadtests.load.recorder import Recorder
from streamflow_loadtests.load.security import Security
from streamflow_loadtests.measuring.lateness import Lateness


class Session:
    """What a process goes by and what it has seen; a master's has what its workers have seen."""

    def __init__(self, environment: Environment) -> None:
        """Begin without a briefing."""
        self.environment = environment
        self.recorder = Recorder()
        self.lateness = Lateness()

        self.security = Security.of(os.environ)
        """Of this process: a master's are not sent to workers."""

        self.error: str | None = None
        """Why there was no run."""

        self._briefing: Briefing | None = None
        self._population: Population | None = None
        self._numbers = count()
        self._cpu_began_s = 0.0

    @property
    def cpu_s(self) -> float | None:
        """The CPU time of the run so far; None where workers make the calls."""
        local = isinstance(self.environment.runner, LocalRunner)
        return time.process_time() - self._cpu_began_s if local else None

    @property
    def options(self) -> Options:
        """The options as they are now: the web page and a master may change them before each run."""
        if self.environment.parsed_options is None:
            raise RuntimeError("locust has parsed no options")
        return Options.of(self.environment.parsed_options)

    @property
    def briefing(self) -> Briefing:
        """The briefing of the run. Raises RuntimeError before there is one."""
        if self._briefing is None:
            raise RuntimeError("the run has no briefing yet")
        return self._briefing

    @briefing.setter
    def briefing(self, briefing: Briefing) -> None:
        self._briefing = briefing
        self._population = None

    @property
    def briefed(self) -> bool:
        """Whether there is a briefing."""
        return self._briefing is not None

    @property
    def population(self) -> Population:
        """The briefing's users, ready to be drawn from."""
        if self._population is None:
            self._population = Population(self.briefing.user_ids, zipf_exponent=self.options.zipf_exponent)
        return self._population

    def next_number(self) -> int:
        """Return a number that no other user of this process has."""
        return next(self._numbers)

    def restart(self) -> None:
        """Forget what the last run saw."""
        self.recorder.clear()
        self.lateness = Lateness()
        self.error = None
        self._population = None
        self._numbers = count()
        self._cpu_began_s = time.process_time()

    def drain(self) -> dict[str, Any]:
        """Return what was seen since the last drain, in msgpack's types."""
        return {"calls": self.recorder.drain(), "lateness": self.lateness.drain()}

    def merge(self, wire: Mapping[str, Any]) -> None:
        """Take what a worker has drained."""
        self.recorder.merge(wire["calls"])
        self.lateness.merge(Lateness.of_wire(wire["lateness"]))


def open_session(environment: Environment) -> Session:
    """Return a new session, which `session_of` finds from then on."""
    session = Session(environment)
    environment.streamflow_session = session  # type: ignore[attr-defined]  # all that a user is given is this object
    return session


def session_of(environment: Environment) -> Session:
    """Return the environment's session."""
    session = environment.streamflow_session  # type: ignore[attr-defined]
    if not isinstance(session, Session):
        raise TypeError("the environment has no session")
    return session
