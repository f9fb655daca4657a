"""The subcommands that ask a gateway once: get, services, describe and ping."""

import argparse
import dataclasses
import time

from streamflow_features._command.asking import AddCommand, add_asking, add_selecting, client_of, query_of
from streamflow_features._command.output import json_of, put_json, put_table, table_of


def add_commands(add: AddCommand) -> None:
    """Add the subcommands to the parser."""
    get = add("get", help="print a user's features")
    add_selecting(get)
    add_asking(get)
    get.set_defaults(run=_get)
    services = add("services", help="list the feature services")
    add_asking(services)
    services.set_defaults(run=_services)
    describe = add("describe", help="print the features of a feature service, and what it needs")
    describe.add_argument("service", metavar="S", help="the feature service, such as churn_v1")
    add_asking(describe)
    describe.set_defaults(run=_describe)
    ping = add("ping", help="ask a gateway for its contract, and print how long the answer took")
    ping.add_argument("--contract-hash", metavar="HASH", help="fail if the gateway has another contract")
    add_asking(ping)
    ping.set_defaults(run=_ping)


def _get(options: argparse.Namespace) -> int:
    with client_of(options) as client:
        features = client.get_user_features(options.user_id, **query_of(options))
    if options.json:
        put_json(json_of(features))
    else:
        put_table(*table_of(features))
    return 0


def _services(options: argparse.Namespace) -> int:
    with client_of(options) as client:
        services = client.list_feature_services()
    if options.json:
        put_json([dataclasses.asdict(service) for service in services])
        return 0
    rows = [
        (service.name, str(len(service.features)), ", ".join(one.name for one in service.request_data) or "-")
        for service in services
    ]
    put_table(("feature service", "features", "request data"), rows)
    return 0


def _describe(options: argparse.Namespace) -> int:
    with client_of(options) as client:
        service = client.get_feature_service(options.service)
    if options.json:
        put_json(dataclasses.asdict(service))
        return 0
    rows = [
        (one.name, one.dtype, one.feature_reference, "-" if one.max_age_s is None else f"{one.max_age_s:g} s")
        for one in service.features
    ]
    rows += [(one.name, one.dtype, "request data", "-") for one in service.request_data]
    put_table(("name", "type", "reference", "maximum age"), rows)
    return 0


def _ping(options: argparse.Namespace) -> int:
    with client_of(options) as client:
        started = time.perf_counter()
        contract_hash = client.bind(contract_hash=options.contract_hash).check()
        time_s = time.perf_counter() - started
    if options.json:
        put_json({"contract_hash": contract_hash, "time_s": time_s})
    else:
        put_table(("contract", "time"), [(contract_hash, f"{1000 * time_s:.1f} ms")])
    return 0
