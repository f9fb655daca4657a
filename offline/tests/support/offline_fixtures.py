"""Small month folders to load, and databases with definitions applied."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from online_stores import OnlineStores
from streamflow_local import postgres
from streamflow_local.testing import copied_database
from streamflow_offline.feast_store import connected
from streamflow_offline.ingest.schema import create_tables
from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.on_demand import session_now_fv
from streamflow_repo.definitions.services import churn_v1, engagement_v1, session_v1
from streamflow_repo.definitions.views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv
from training_sets import apply_objects


@pytest.fixture
def month_files() -> dict[str, str]:
    """The files of a month of three users, by table; the third has no internet service, so no streaming plan."""
    return {
        "users": """\
user_id,signup_date,user_gender,user_is_senior,has_family,has_dependents
0001-AAAAA,2022-01-01,Female,False,True,False
0002-BBBBB,2022-02-06,Male,True,False,False
0003-CCCCC,2022-01-31,Male,False,False,True
""",
        "subscriptions": """\
user_id,months_active,plan_stream_tv,plan_stream_movies,contract_type,paperless_billing,monthly_fee,total_paid,net_service
0001-AAAAA,1,False,True,Month-to-month,True,29.85,29.85,DSL
0002-BBBBB,34,True,False,One year,False,56.95,1889.5,Fiber optic
0003-CCCCC,0,,,Two year,True,20.05,0,No
""",
        "usage_agg_30d": """\
user_id,watch_hours_30d,avg_session_mins_7d,unique_devices_30d,skips_7d,rebuffer_events_7d
0001-AAAAA,24.725258074861507,18.97,2,0,2
0002-BBBBB,28.761993560817107,31.18,1,6,3
0003-CCCCC,30.5,25,3,14,0
""",
        "payments_agg_90d": """\
user_id,failed_payments_90d
0001-AAAAA,1
0002-BBBBB,0
0003-CCCCC,2
""",
        "support_agg_90d": """\
user_id,support_tickets_90d,ticket_avg_resolution_hrs_90d
0001-AAAAA,0,9.6
0002-BBBBB,4,1.9
0003-CCCCC,1,12.5
""",
        "labels": """\
user_id,churn_label
0001-AAAAA,False
0002-BBBBB,True
0003-CCCCC,False
""",
    }


@pytest.fixture
def write_month(tmp_path: Path, month_files: dict[str, str]) -> Callable[..., Path]:
    """Write a month folder of `month_files`, except the files given, and return the folder of months.

    A keyword is a table's name and its file's content, or None for no file.
    """

    def write(name: str = "month_000", **files: str | bytes | None) -> Path:
        months = tmp_path / "months"
        folder = months / name
        folder.mkdir(parents=True, exist_ok=True)
        for table, content in (month_files | files).items():
            path = folder / f"{table}.csv"
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return months

    return write


@pytest.fixture(scope="session")
def applied_template(postgres_socket_dir: Path) -> str:
    """The name of a database with StreamFlow's definitions applied and its tables empty, to be copied."""
    name = "applied_template"
    postgres.create_database(postgres_socket_dir, name)
    url = postgres.url(postgres_socket_dir, name)
    with connected(url) as connection:
        create_tables(connection)
    views = [payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv]
    apply_objects(url, [user, *views, session_now_fv, churn_v1, engagement_v1, session_v1])
    return name


@pytest.fixture
def applied_url(postgres_socket_dir: Path, applied_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of the test's own with StreamFlow's definitions applied and its tables empty."""
    name = f"applied_{abs(hash(request.node.nodeid))}"
    with copied_database(postgres_socket_dir, name, template=applied_template) as url:
        yield url


@pytest.fixture
def online_stores(applied_url: str, redis_url: str) -> Iterator[OnlineStores]:
    """A database with StreamFlow's definitions applied and its tables empty, and an empty Redis."""
    stores = OnlineStores(applied_url, f"{redis_url}/5")
    with stores.redis() as client:
        client.flushdb()
        yield stores
        client.flushdb()
