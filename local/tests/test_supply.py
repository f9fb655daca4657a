"""What the images are made of is listed, and a known fault of the lock fails the check where the database answers."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from stack_under_test import CHECKOUT

_TIMEOUT_S = 120
_FAULT = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "a fault for tests",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "grpcio"}, "versions": []}],
}


class Database:
    """Plays osv.dev: it knows one fault, of one package."""

    def __init__(self, package: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name that http.server calls
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                known = {"vulns": [{"id": _FAULT["id"], "modified": _FAULT["modified"]}]}
                found = [known if query["package"].get("name") == package else {} for query in asked["queries"]]
                self._answer({"results": found})

            def do_GET(self) -> None:  # the same
                self._answer(_FAULT)

            def _answer(self, content: object) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(params=["grpcio", "of-nobody"])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The package with a known fault, and the URL of the database that knows it."""
    played = Database(request.param)
    yield request.param, played.url
    played.server.shutdown()
    played.server.server_close()


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "-s", *arguments],
        cwd=CHECKOUT,
        env={**environment, "NO_PROXY": "127.0.0.1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )


def test_a_known_fault_fails_the_check_and_no_fault_passes(database: tuple[str, str]) -> None:
    package, url = database
    result = _make("known-faults", f"ARGS=--service-url {url}")
    shown = result.stdout + result.stderr
    assert (result.returncode != 0) is (package == "grpcio"), shown
    assert (str(_FAULT["id"]) in shown) is (package == "grpcio"), shown
    assert "skipped" not in shown


def test_without_a_database_the_check_says_that_it_is_skipped() -> None:
    result = _make("known-faults", "ARGS=--service-url http://127.0.0.1:9")
    assert result.returncode == 0
    assert "known-faults: skipped, because the database can't be reached" in result.stdout


def test_each_image_has_a_list_of_what_it_is_made_of() -> None:
    result = _make("sbom")
    assert result.returncode == 0, result.stderr
    names = {}
    for image in ("gateway", "feast", "loadtests"):
        document = json.loads((CHECKOUT / f".local/sbom/{image}.cdx.json").read_text(encoding="utf-8"))
        assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
        names[image] = {component["name"] for component in document["components"]}
        assert all(component["version"] for component in document["components"])
    assert {"grpcio", "protobuf", "streamflow-features-protos"} <= names["gateway"]
    assert "feast" in names["feast"] - names["gateway"] - names["loadtests"]
    assert not {"pytest", "trustme"} & (names["gateway"] | names["feast"])
