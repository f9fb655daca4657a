"""locust's page starts no load and shows no results for pages of other origins."""

import pytest
from flask import Flask
from flask_cors import CORS
from streamflow_loadtests.load.origins import refuse_other_origins


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", ""])
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    # As locust.web makes its app.
    app = Flask(__name__)
    CORS(app)
    started: list[str] = []

    @app.post("/swarm")
    def swarm() -> str:
        started.append("load")
        return "started"

    assert _posted(app, origin) == 200
    started.clear()

    refuse_other_origins(app)
    assert (_posted(app, origin), started) == (403, [])
    assert (_posted(app, "http://localhost"), _posted(app, None)) == (200, 200)
    assert started == ["load", "load"]


def _posted(app: Flask, origin: str | None) -> int:
    headers = {} if origin is None else {"Origin": origin}
    return app.test_client().post("/swarm", headers=headers).status_code
