"""The options of a run: locust's own, and these beside them."""

import math
import os
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from streamflow_loadtests.load.scenarios import SCENARIOS, Scenario
from streamflow_loadtests.load.security import Security

if TYPE_CHECKING:
    # Its import makes the whole process cooperate, which is for locust's own processes.
    from locust.argument_parser import LocustArgumentParser

TARGETS = ("gateway-grpc", "gateway-http", "feast-http")
"""Who can be asked, by the names that --targets takes."""

_URL_SCHEMES = ("http", "https")
_DEFAULT_SCENARIO = "mixed"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run, as a run reads them."""

    scenario: str

    rate: float
    """Calls a second in all, in an open loop; 0 is a closed loop."""

    targets: str
    """Names of TARGETS, with commas between."""

    batch_size: int
    zipf_exponent: float
    feature_service: str

    timeout_ms: float
    """Every call's deadline."""

    gateway_grpc: str
    gateway_http: str

    feast_http: str
    """URLs of feature servers, with commas between; users take turns."""

    max_error_rate: float
    """The largest share of failed calls, 0 to 1."""

    max_p99_ms: float
    max_user_ids: int
    seed: int

    report_dir: str
    """The folder for the figures and the plot; empty: none are written."""

    @classmethod
    def of(cls, parsed: Namespace) -> Self:
        """Return these options of all that locust has parsed."""
        return cls(**{field.name: getattr(parsed, field.name) for field in fields(cls)})

    @property
    def what(self) -> Scenario:
        """The scenario that is named."""
        return SCENARIOS[self.scenario]

    @property
    def timeout_s(self) -> float:
        """Every call's deadline, in seconds."""
        return self.timeout_ms / 1000


def add_options(parser: "LocustArgumentParser") -> None:
    """Add the options to locust's, on its command line and in its web page."""
    where = addresses(os.environ)
    # Not in a group of their own: locust's page shows none of those.
    add = parser.add_argument
    scenarios = "; ".join(f"{name}: {scenario.what}" for name, scenario in SCENARIOS.items())
    add("--scenario", choices=list(SCENARIOS), default=_DEFAULT_SCENARIO, help=scenarios.replace("%", "%%"))
    add(
        "--rate",
        type=_at_least_0,
        default=0.0,
        help="Open loop: so many calls a second in all, each timed from when it was due; 0: closed loop, each user "
        "asks again when it has its answer.",
    )
    add(
        "--targets",
        type=_targets,
        default=",".join(TARGETS),
        help=f"Who is asked: some of {', '.join(TARGETS)}, with commas between. Locust's users are shared among them.",
    )
    add("--batch-size", type=_from_1, default=10, help="Users of one batch call.")
    add("--zipf-exponent", type=_at_least_0, default=1.1, help="How hot the hot keys are; 0: all the same.")
    add("--feature-service", default="churn_v1", help="The feature service whose features are asked for.")
    add("--timeout-ms", type=_above_0, default=1000.0, help="Every call's deadline.")
    add("--gateway-grpc", default=where["grpc"], env_var="LOAD_GATEWAY_GRPC", help="HOST:PORT of the gateway's gRPC.")
    add(
        "--gateway-http",
        type=urls,
        default=where["http"],
        env_var="LOAD_GATEWAY_HTTP",
        help="URL of the gateway's HTTP side.",
    )
    add(
        "--feast-http",
        type=urls,
        default=where["feast"],
        env_var="LOAD_FEAST_HTTP",
        help="URLs of feature servers, with commas between; users take turns.",
    )
    add("--max-error-rate", type=_share, default=0.001, help="The run fails with a larger share of failed calls.")
    add("--max-p99-ms", type=_above_0, default=250.0, help="The run fails with a larger p99, of any kind of call.")
    add("--max-user-ids", type=_from_1, default=100_000, help="User ids that are read from the online store at most.")
    add("--seed", type=int, default=0, help="The same seed asks for the same users.")
    add("--report-dir", default="", include_in_web_ui=False, help="A folder for summary.json and latency.png.")


def addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where a stack of `make up` listens, by its own variables."""
    host = "127.0.0.1"
    scheme = "https" if Security.of(environment).tls else "http"
    first = int(environment.get("FEATURE_SERVER_PORT") or 6566)
    servers = int(environment.get("FEATURE_SERVER_REPLICAS") or 2)
    return {
        "grpc": f"{host}:{environment.get('GATEWAY_GRPC_PORT') or 50051}",
        "http": f"{scheme}://{host}:{environment.get('GATEWAY_HTTP_PORT') or 8000}",
        "feast": ",".join(f"http://{host}:{port}" for port in range(first, first + servers)),
    }


def _targets(text: str) -> str:
    unknown = sorted(set(text.split(",")) - set(TARGETS))
    if unknown:
        raise ArgumentTypeError(f"there is no {' and no '.join(map(repr, unknown))}, only {', '.join(TARGETS)}")
    return text


def urls(text: str) -> str:
    """Return base URLs with commas between; raise ArgumentTypeError, which quotes nothing of them, for others.

    Reports show these URLs, so a URL must not have a user name and a password.
    """
    # A worker's are empty: its master sends it the options.
    for url in filter(None, text.split(",")):
        try:
            parts = urlsplit(url)
            usable = parts.scheme in _URL_SCHEMES and parts.hostname and (parts.port or True)
        except ValueError:
            usable = False
        if not usable or not url.isprintable() or set("@?#") & set(url):
            raise ArgumentTypeError(
                "not http://HOST:PORT or https://HOST:PORT, without user name and password"
            ) from None
    return text


def _at_least_0(text: str) -> float:
    return _number(text, "a number from 0", lowest=0.0)


def _above_0(text: str) -> float:
    return _number(text, "a number above 0", lowest=math.ulp(0.0))


def _share(text: str) -> float:
    return _number(text, "a share from 0 to 1", lowest=0.0, highest=1.0)


def _from_1(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _number(text: str, takes: str, *, lowest: float, highest: float = math.inf) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and lowest <= number <= highest):
        raise ArgumentTypeError(f"{text!r} is not {takes}")
    return number
