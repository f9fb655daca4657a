"""`make up`: from any state of the stack to an answered call."""

import time
from collections.abc import Mapping
from pathlib import Path

from streamflow_offline.grant.job import Role, grant_roles
from streamflow_repo.settings.connections import feast_environment

from streamflow_local import postgres, stack, streamflow, valkey
from streamflow_local.accounts import connections, role_of_feature_servers
from streamflow_local.answers import Answer, ask
from streamflow_local.config import ConfigError, StackConfig
from streamflow_local.layout import Layout
from streamflow_local.ports import describe_listener, in_use
from streamflow_local.repository import Repository, repository_environment
from streamflow_local.secure import shell_variables
from streamflow_local.status import failure_of
from streamflow_local.steps import StepError, Steps
from streamflow_local.supervisor import Supervisor

_STORE_TIMEOUT_S = 60.0
# A store that the stack does not start either runs already or does not run.
_EXTERNAL_STORE_TIMEOUT_S = 5.0
_SERVER_TIMEOUT_S = 120.0
_POLL_S = 0.2
_STORES = ("POSTGRES_URL", "REDIS_URL", "POSTGRES_PASSWORD_FILE", "REDIS_PASSWORD_FILE")


def up(
    layout: Layout,
    environment: Mapping[str, str],
    steps: Steps,
    *,
    data: Path | None,
    feature_repo: Path | None = None,
    secure: bool = False,
) -> Answer:
    """Start what does not run, load data on the first start or if `data` is given, and return an answered call.

    `data` is a folder of month folders, for StreamFlow's repository; `feature_repo` is another Feast repository, which
    the stack then serves. A `secure` stack has TLS, a token for callers, and passwords. If the stack runs and answers,
    and `data` is None, nothing is done. Raises StepError or ConfigError.
    """
    config = StackConfig.of_environment(environment, feature_repo=feature_repo, secure=secure)
    repository = Repository(config, layout, steps) if config.feature_repo else None
    supervisor = Supervisor(layout)
    if supervisor.running:
        _require_same_config(config, layout)
        answer = ask(config, layout)
        if data is None and answer is not None and _all_run(supervisor):
            steps.say("already up; nothing to do")
            return answer
    else:
        _require_free_ports(config)
        with steps.step("starting the supervisor", log=layout.log("supervisord")):
            jobs = connections(config, layout, Role.JOBS)
            redis_url = jobs.redis_url if config.secure else config.redis_url
            repository_variables = repository_environment(config.feature_repo, layout) if config.feature_repo else {}
            feast = feast_environment(postgres_url=config.postgres_url(layout), redis_url=redis_url)
            config.save(layout)
            others = {**feast, **repository_variables, **(shell_variables(layout) if config.secure else {})}
            config.export(layout, redis_url=redis_url, others=others)
            serving = connections(config, layout, role_of_feature_servers(config))
            of_servers = feast_environment(postgres_url=serving.postgres_url, redis_url=serving.redis_url)
            supervisor.start(
                stack.processes(config, layout, feast={**of_servers, **repository_variables}),
                # A shell that has read .local/env has the stores' passwords, which no other process needs.
                environment={name: value for name, value in environment.items() if name not in {*feast, *_STORES}},
            )
    _start_stores(supervisor, config, layout, steps)

    def start_feature_servers() -> None:
        # They take seconds to start and need only the registry, so they start while features are materialized.
        for name in config.feature_servers():
            supervisor.start_process(name)

    if repository is None:
        streamflow.load(config, layout, steps, data=data, on_applied=start_feature_servers)
    else:
        repository.load(on_applied=start_feature_servers)
    for name in config.feature_servers():
        with steps.step(f"waiting for {name}", log=layout.log(name)):
            _wait_for(supervisor, name, config, layout)
    return _start_gateway(supervisor, config, layout, steps)


def _require_same_config(config: StackConfig, layout: Layout) -> None:
    running = StackConfig.load(layout)
    if running != config:
        changed = sorted(name for name in vars(config) if getattr(config, name) != getattr(running, name))
        raise ConfigError(
            f"a stack is running with another {', '.join(changed)}; "
            "stop the stack with `make down`, or set the variables to the values that it was started with"
        )


def _all_run(supervisor: Supervisor) -> bool:
    return all(process.state == "RUNNING" for process in supervisor.processes())


def _require_free_ports(config: StackConfig) -> None:
    taken = [
        f"port {port} is in use{describe_listener(port)}: stop that process, or set {variable} to another port"
        for variable, port in config.ports().items()
        if in_use(port)
    ]
    if taken:
        raise ConfigError("\n".join(taken))


def _start_stores(supervisor: Supervisor, config: StackConfig, layout: Layout, steps: Steps) -> None:
    if config.external_postgres_url:
        with steps.step("connecting to the PostgreSQL of POSTGRES_URL"):
            postgres.wait_until_ready(config.external_postgres_url, timeout_s=_EXTERNAL_STORE_TIMEOUT_S)
    else:
        with steps.step("starting PostgreSQL", log=layout.log("postgres")):
            supervisor.start_process("postgres")
            postgres.wait_until_ready(postgres.url(layout.postgres_socket_dir, "postgres"), timeout_s=_STORE_TIMEOUT_S)
            postgres.create_database(layout.postgres_socket_dir, config.database)
            grant_roles(config.postgres_url(layout))
    if config.external_redis_url:
        with steps.step("connecting to the Redis of REDIS_URL"):
            valkey.wait_until_ready(config.external_redis_url, timeout_s=_EXTERNAL_STORE_TIMEOUT_S)
    else:
        with steps.step("starting Valkey", log=layout.log("valkey")):
            supervisor.start_process("valkey")
            valkey.wait_until_ready(connections(config, layout, Role.JOBS).redis_url, timeout_s=_STORE_TIMEOUT_S)


def _start_gateway(supervisor: Supervisor, config: StackConfig, layout: Layout, steps: Steps) -> Answer:
    with steps.step("starting the gateway and asking it for features", log=layout.log("gateway")):
        # A running gateway reads a changed contract within a second. A restart makes sure that this answer follows it.
        supervisor.stop_process("gateway")
        supervisor.start_process("gateway")
        _wait_for(supervisor, "gateway", config, layout)
        answer = ask(config, layout)
        if answer is None:
            raise StepError(f"the gateway does not answer\nlog: {layout.log('gateway')}")
        return answer


def _wait_for(supervisor: Supervisor, name: str, config: StackConfig, layout: Layout) -> None:
    deadline = time.monotonic() + _SERVER_TIMEOUT_S
    while (reason := failure_of(name, config, layout)) is not None:
        if supervisor.process(name).state == "FATAL":
            raise StepError(f"{name} ends right after its start\nlog: {layout.log(name)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} does not answer after {_SERVER_TIMEOUT_S:g} s: {reason}")
        time.sleep(_POLL_S)
