"""Who reaches what in docker-compose.yml: what answers an attacker on each of its networks, and outside of them.

What is computed from the file here is tried in containers by `containers_trial/attackers.py`.
"""

import re

from compose_file import document, services
from compose_networks import answering, listens, members, on_loopback
from stack_under_test import CHECKOUT
from streamflow_repo.settings.redis_users import REDIS_USERS

_COMPOSE = document()
_SERVICES = services()
_DOCUMENTED = (CHECKOUT / "docs/compose.md").read_text(encoding="utf-8").partition("## Who reaches what")[2]


def test_an_attacker_on_a_network_reaches_what_the_network_is_for() -> None:
    servers = {"feast:6566", "feast-2:6566"}
    gateway = {"gateway:50051", "gateway:8000", "gateway:8001"}
    # Who only asks on a network listens there all the same: on its own ports.
    table = {
        "postgres": {"postgres:5432", "feast-ui:8888", *servers},
        "redis": {"redis:6379", "feast-ui:8888", "locust:8089", *servers},
        "servers": {"locust:8089", *servers, *gateway},
        "calls": {"locust:8089", *gateway},
        "flows": {"prefect:4200"},
        "metrics": {"prometheus:9090", *gateway},
        "results": {"prometheus:9090", "pushgateway:9091"},
        "queries": {"prometheus:9090", "grafana:3000"},
        "edge": gateway,
        "ui": {"feast-ui:8888"},
        "load": {"locust:8089"},
        "prefect": {"prefect:4200"},
        "prometheus": {"prometheus:9090"},
        "grafana": {"grafana:3000"},
    }
    assert {network: answering(network) for network in _COMPOSE["networks"]} == table


def test_an_attacker_on_the_host_reaches_the_gateway_and_the_pages_of_profiles_on_loopback() -> None:
    published = {
        name: [re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-(\d+)\}:\d+", port) for port in service["ports"]]
        for name, service in _SERVICES.items()
        if "ports" in service
    }
    assert {name: [port and port[1] for port in ports] for name, ports in published.items()} == {
        "gateway": ["50051", "8000", "8001"],
        "feast-ui": ["8888"],
        "locust": ["8089"],
        "prefect": ["4200"],
        "prometheus": ["9090"],
        "grafana": ["3000"],
    }
    assert [name for name in published if name != "gateway" and not _SERVICES[name].get("profiles")] == []


def test_the_table_of_the_documentation_is_what_the_file_gives() -> None:
    everything = {f"{name}:{port}" for name in _SERVICES for port in listens(name)}
    computed = {f"`{network}`": (members(network), answering(network)) for network in _COMPOSE["networks"]} | {
        "the host's loopback": (set(), set(on_loopback().values())),
        "the host's other addresses": (set(), set()),
        "the host, to containers' addresses": (set(), everything),
    }
    documented = {}
    for line in _DOCUMENTED.partition("| attacker on |")[2].partition("\n\n")[0].splitlines()[2:]:
        attacker, on_it, answers = (cell.strip() for cell in line.strip("|").split("|"))
        documented[attacker] = (set(re.findall(r"`([\w-]+)`", on_it)), set(re.findall(r"`([\w-]+:\d+)`", answers)))
    assert documented == computed


def test_no_container_reaches_an_address_outside() -> None:
    for name, network in _COMPOSE["networks"].items():
        inside = network.get("internal") is True
        unmasked = network.get("driver_opts", {}).get("com.docker.network.bridge.enable_ip_masquerade") == "false"
        assert inside != unmasked, name
    # Docker gives a service without networks the default network, which is open.
    assert [name for name, service in _SERVICES.items() if not service.get("networks")] == []


def test_what_is_published_is_alone_on_its_open_network() -> None:
    for network, options in _COMPOSE["networks"].items():
        if not options.get("internal"):
            (member,) = members(network)
            assert "ports" in _SERVICES[member]


def test_a_service_is_on_the_networks_of_the_stores_that_it_names_and_on_no_other() -> None:
    for name, service in _SERVICES.items():
        named = {
            store
            for store in ("postgres", "redis")
            for value in service.get("environment", {}).values()
            if re.search(rf"@{store}:\d+", value)
        }
        reached = {"postgres", "redis"} & set(service["networks"]) - {name}
        assert reached == named, name


def test_what_serves_has_the_accounts_that_read() -> None:
    for name in ("feast", "feast-2", "feast-ui"):
        service = _SERVICES[name]
        assert service["environment"]["POSTGRES_URL"].startswith("postgresql://streamflow_reader@")
        assert service["environment"]["REDIS_URL"].startswith("redis://reader@")
        assert sorted(service["secrets"]) == ["postgres_reader_password", "redis_reader_password"]
    assert "secrets" not in _SERVICES["gateway"]
    administrators = {"postgres_password": ["grant", "postgres"], "redis_admin_password": ["redis"]}
    for secret, expected in administrators.items():
        assert sorted(name for name in _SERVICES if secret in _SERVICES[name].get("secrets", [])) == expected


def test_the_users_of_redis_have_the_rules_that_the_tests_try() -> None:
    command = _SERVICES["redis"]["command"][-1]
    found = dict(re.findall(r"^user (\w+) on >\$\$\(cat /run/secrets/redis_\1_password\) (.*)$", command, re.MULTILINE))
    assert found == {**REDIS_USERS, "admin": "~* &* +@all"}
    assert "user default off" in command.splitlines()


def test_memory_and_processes_have_limits() -> None:
    for name, service in _SERVICES.items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert 0 < service["pids_limit"] <= 1024, name
