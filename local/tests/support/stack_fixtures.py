"""The stacks that tests share: each is started once in a test run."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from stack_under_test import CANARY, CHECKOUT, Stack, stack_environment
from streamflow_local import postgres
from streamflow_offline.generate.job import generate_months

PASSWORD = "s3kr/zzw9@q7xv"  # of no server


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real months in STREAMFLOW_DATA, or beside the checkout in shared/streamflow; otherwise generated months."""
    real = Path(os.environ.get("STREAMFLOW_DATA") or CHECKOUT.parent / "shared" / "streamflow")
    if real.is_dir():
        return real
    generated = tmp_path_factory.mktemp("generated") / "months"
    generate_months(generated)
    return generated


@pytest.fixture(scope="session")
def own_servers_stack(postgres_socket_dir: Path, redis_url: str, state_dir: Path, months: Path) -> Iterator[Stack]:
    """A stack that uses external servers, with the generated data of a first start.

    Both URLs have PASSWORD, which these servers don't ask for.
    """
    postgres.create_database(postgres_socket_dir, "own")
    running = Stack(
        {
            **stack_environment(state_dir / "own"),
            "POSTGRES_URL": postgres.url(postgres_socket_dir, "own").replace("@", f":{quote(PASSWORD, safe='')}@"),
            "REDIS_URL": f"{redis_url}/3".replace("//", f"//default:{quote(PASSWORD, safe='')}@"),
            "FEATURE_SERVER_REPLICAS": "1",
        },
        months,
    )
    with running.up() as printed:
        assert "generating two months of sample data" in printed
        yield running


@pytest.fixture(scope="session")
def stack(state_dir: Path, months: Path) -> Iterator[Stack]:
    running = Stack(stack_environment(state_dir / "stack"), months)
    with running.up("--data", str(months)) as printed:
        assert f"GetUserFeatures({CANARY}) answered:" in printed
        assert sum("PRESENT" in line for line in printed.splitlines()) == 14
        yield running


@pytest.fixture(scope="session")
def stock_stack(state_dir: Path, months: Path) -> Iterator[Stack]:
    """A stack whose feature servers are Feast's own, with generated data."""
    running = Stack({**stack_environment(state_dir / "stock"), "FEATURE_SERVER": "stock"}, months)
    with running.up():
        yield running


@pytest.fixture(scope="session")
def secure_stack(state_dir: Path, months: Path) -> Iterator[Stack]:
    """A stack with TLS, a token and passwords, with generated data."""
    environment = {**stack_environment(state_dir / "secure"), "FEATURE_SERVER_REPLICAS": "1"}
    running = Stack(environment, months)
    with running.up("--secure") as printed:
        assert f"GetUserFeatures({CANARY}) answered:" in printed
        yield running


_EITHER = ("streamflow", pytest.param("stock", marks=pytest.mark.slow))


@pytest.fixture(scope="module", params=_EITHER)
def either_stack(request: pytest.FixtureRequest) -> Stack:
    """A stack with servers of its own."""
    found: Stack = request.getfixturevalue("stack" if request.param == "streamflow" else "stock_stack")
    return found


@pytest.fixture(scope="module", params=_EITHER)
def either_generated_stack(request: pytest.FixtureRequest) -> Stack:
    """A stack with generated data, whatever months are at hand."""
    found: Stack = request.getfixturevalue("own_servers_stack" if request.param == "streamflow" else "stock_stack")
    return found
