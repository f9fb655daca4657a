"""What is done around a run: the briefing before it, workers' figures during it, the verdict after it."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import grpc.experimental.gevent
from locust.env import Environment
from locust.event import Events
from locust.exception import StopTest
from locust.rpc import Message
from locust.runners import STATE_INIT, STATE_STOPPED, MasterRunner, Runner, WorkerRunner
from locust.web import WebUI

from streamflow_loadtests.load.briefing import Briefing, BriefingError, brief
from streamflow_loadtests.load.options import add_options
from streamflow_loadtests.load.origins import refuse_other_origins
from streamflow_loadtests.load.report import Report, report_of
from streamflow_loadtests.load.scenarios import Kind
from streamflow_loadtests.load.session import Session, open_session, session_of
from streamflow_loadtests.load.targets import TARGETS
from streamflow_loadtests.load.users import LoadUser

_log = logging.getLogger(__name__)

_BRIEFING = "streamflow-briefing"
_REPORT = "streamflow"
_LATENESS_ROW = hash(__name__)


def register(events: Events) -> None:
    """Add everything to locust's events."""
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_on_init)
    events.test_start.add_listener(_on_test_start)
    events.test_stop.add_listener(_on_test_stop)
    events.quitting.add_listener(_on_quitting)


def asked(user: type, session: Session) -> bool:
    """Return whether a kind of user has calls to make: its target is among those chosen, and has what is asked."""
    if not issubclass(user, LoadUser) or user.target not in map(TARGETS.get, session.options.targets.split(",")):
        return False
    return user.target.batches or set(session.options.what.asks) != {Kind.BATCH}


def _on_init(environment: Environment, runner: Runner, web_ui: WebUI | None, **_: Any) -> None:
    # Here, not on import: a process that locust forks must do it again.
    grpc.experimental.gevent.init_gevent()
    session = open_session(environment)
    if web_ui is not None and web_ui.app is not None:
        refuse_other_origins(web_ui.app)
    # A call that is cut off would be one that nobody counts.
    environment.stop_timeout = max(environment.stop_timeout, 2 * session.options.timeout_s + 1)
    match runner:
        case WorkerRunner():
            _be_worker(session, runner)
        case MasterRunner():
            _be_master(session, runner)
    if web_ui is None and not isinstance(runner, WorkerRunner):
        try:
            session.briefing = _briefing(session)
        except BriefingError as error:
            sys.exit(f"no load: {error}")


def _be_worker(session: Session, runner: WorkerRunner) -> None:
    def on_briefing(msg: Message, **_: Any) -> None:
        session.briefing = Briefing.of_wire(msg.data)

    def on_report(data: dict[str, Any], **_: Any) -> None:
        data[_REPORT] = session.drain()

    runner.register_message(_BRIEFING, on_briefing)
    session.environment.events.report_to_master.add_listener(on_report)


def _be_master(session: Session, runner: MasterRunner) -> None:
    def on_connect(client_id: str, **_: Any) -> None:
        if session.briefed and runner.state not in {STATE_INIT, STATE_STOPPED}:
            runner.send_message(_BRIEFING, session.briefing.to_wire(), client_id)

    def on_report(data: dict[str, Any], **_: Any) -> None:
        if _REPORT in data:
            session.merge(data[_REPORT])
            _tell_lateness(session)

    session.environment.events.worker_connect.add_listener(on_connect)
    session.environment.events.worker_report.add_listener(on_report)


def _briefing(session: Session) -> Briefing:
    environment = session.environment
    targets = [user.target for user in environment.user_classes if issubclass(user, LoadUser) and asked(user, session)]
    if not targets:
        raise BriefingError(f"none of {session.options.targets} has a call for the scenario {session.options.scenario}")
    parsed = environment.parsed_options
    users = (parsed.num_users if parsed is not None else None) or 1
    return brief(session.options, users=users, targets=targets, environment=os.environ)


def _on_test_start(environment: Environment, **_: Any) -> None:
    session = session_of(environment)
    session.restart()
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    if environment.web_ui is not None:
        # Its options may have changed since the last run.
        try:
            session.briefing = _briefing(session)
        except BriefingError as error:
            session.error = str(error)
            raise StopTest(f"no load: {error}") from error
    if isinstance(runner, MasterRunner):
        runner.send_message(_BRIEFING, session.briefing.to_wire())


def _on_test_stop(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    session = session_of(environment)
    _tell_lateness(session)
    if environment.web_ui is not None and session.error is None:
        for line in _report(session).lines():
            _log.info(line)


def _on_quitting(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        # Its master judges.
        environment.process_exit_code = 0
        return
    if environment.web_ui is not None:
        return
    session = session_of(environment)
    report = _report(session)
    environment.process_exit_code = 1 if report.complaints else 0

    def on_quit(**_: Any) -> None:
        # After locust's own tables.
        print("", *report.lines(), sep="\n", flush=True)  # noqa: T201  # the command's output

    environment.events.quit.add_listener(on_quit)
    if session.options.report_dir:
        _write(session, report, Path(session.options.report_dir))


def _report(session: Session) -> Report:
    environment = session.environment
    exceptions = environment.runner.exceptions if environment.runner is not None else {}
    faults = [f"{row['msg']} ({row['count']} times)" for key, row in exceptions.items() if key != _LATENESS_ROW]
    labels = [
        user.target.label for user in environment.user_classes if issubclass(user, LoadUser) and asked(user, session)
    ]
    return report_of(
        session.recorder, session.lateness, session.options, labels=labels, faults=faults, cpu_s=session.cpu_s
    )


def _tell_lateness(session: Session) -> None:
    """Have locust's page and report say that the generator was late, among the exceptions: there is no other place."""
    runner = session.environment.runner
    lateness = session.lateness
    if runner is not None and lateness.often:
        text = f"the load generator was late: {lateness}"
        runner.exceptions[_LATENESS_ROW] = {"count": lateness.late, "msg": text, "traceback": "", "nodes": set()}


def _write(session: Session, report: Report, folder: Path) -> None:
    # Only the environment that writes it has what draws it.
    from streamflow_loadtests.load import plot  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    title = next(iter(report.lines()))
    plot.write(session.recorder, folder / "latency.png", title=title)
