"""However a job ends, its target is whole or not there, nothing is left in PostgreSQL, and the next one goes on."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from streamflow_local.testing import copied_database
from streamflow_local.waiting import wait_until
from streamflow_offline.cli import app
from streamflow_offline.errors import JobError
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_offline.training_set import files
from streamflow_offline.training_set.postgres_reader import PostgresReader
from streamflow_offline.training_set.working_dir import WorkingDir
from training_sets import UNUSED_REDIS_URL, build, execute, file_bytes, query, read_rows
from typer.testing import CliRunner

OFFLINE = Path(sys.executable).with_name("offline")
# So many chunks of two rows that a job is still at work when it is seen to be.
USERS = 100
ROWS = 2 * USERS
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def template(
    postgres_socket_dir: Path, applied_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    months = tmp_path_factory.mktemp("generated")
    generate_months(months, users=USERS, months=2)
    with copied_database(postgres_socket_dir, "interruptions", template=applied_template) as url:
        ingest(months, postgres_url=url)
        yield "interruptions"


@pytest.fixture
def url(postgres_socket_dir: Path, template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"interrupted_{abs(hash(request.node.nodeid))}"
    with copied_database(postgres_socket_dir, name, template=template) as url:
        yield url


class Fault:
    """A disk that fails in the middle of a part file, from a given part on, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def fail(self, error: BaseException, *, from_chunk: int) -> None:
        """Fail with chunks whose rows are one part each."""
        write, parts = files.write_durably, count()

        def write_or_fail(path: Path, data: memoryview) -> None:
            if next(parts) >= from_chunk:
                path.with_name(f".{path.name}.new").write_bytes(data[: len(data) // 2])
                raise error
            write(path, data)

        self._monkeypatch.setattr(files, "write_durably", write_or_fail)

    def mend(self) -> None:
        self._monkeypatch.undo()


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    return Fault(monkeypatch)


def started(url: str, out: Path, *options: str) -> subprocess.Popen[str]:
    """Start the command with small chunks."""
    return subprocess.Popen(
        [OFFLINE, "training-set", "--out", out, "--chunk-rows", "2", *options],
        env={**os.environ, "POSTGRES_URL": url, "REDIS_URL": UNUSED_REDIS_URL},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_chunks(process: subprocess.Popen[str], out: Path) -> None:
    """Return once a running command has finished a few chunks."""
    dataset = out.parent / f".{out.name}.partial/dataset"

    def attempt() -> None:
        if process.poll() is not None:
            raise LookupError(process.communicate())
        if len(list(dataset.rglob("part-*.parquet"))) < 3:
            raise LookupError("fewer than three parts")

    wait_until(attempt, failing=LookupError, timeout_s=TIMEOUT_S, complaint=lambda: "no chunk was finished")


def wait_until_nothing_is_left(url: str) -> None:
    """Return once PostgreSQL has no table of a job, temporary or not."""

    def attempt() -> None:
        left = query(
            url, "SELECT relname FROM pg_class WHERE relname LIKE 'feast_entity_df%' OR relname LIKE 'training_set_%'"
        )
        if left:
            raise LookupError(left)

    wait_until(attempt, failing=LookupError, timeout_s=TIMEOUT_S, complaint=lambda: "the tables did not go")


def test_a_killed_job_leaves_nothing_and_the_next_goes_on_to_the_same_bytes(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(url, out) as process:
        wait_for_chunks(process, out)
        process.kill()
    assert not out.exists()
    wait_until_nothing_is_left(url)

    lines: list[str] = []
    resumed = build(url, out, chunk_rows=2, on_progress=lines.append)

    assert 6 <= resumed.resumed_rows < ROWS
    assert f"going on after {resumed.resumed_rows} rows of an interrupted job" in lines
    build(url, tmp_path / "whole", chunk_rows=2)
    assert file_bytes(out) == file_bytes(tmp_path / "whole")
    manifests = [
        json.loads((tmp_path / name / "_manifest.json").read_text(encoding="utf-8")) for name in ("out", "whole")
    ]
    for manifest in manifests:
        del manifest["read_at"], manifest["duration_s"]
    assert manifests[0] == manifests[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


@pytest.mark.usefixtures("unchanged_signals")
def test_a_job_told_to_stop_says_what_is_kept_and_the_same_command_goes_on(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with started(url, out) as process:
        wait_for_chunks(process, out)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "error: interrupted; " in told
    assert f"finished rows are kept in {tmp_path / '.out.csv.partial'}: the same command goes on from there" in told
    assert "Traceback" not in told
    assert [path.name for path in tmp_path.iterdir()] == [".out.csv.partial"]
    wait_until_nothing_is_left(url)

    options = ["training-set", "--out", str(out), "--chunk-rows", "2"]
    printed = CliRunner().invoke(app, options, env={"POSTGRES_URL": url, "REDIS_URL": UNUSED_REDIS_URL}).output

    assert "rows of an interrupted job" in printed
    assert f"2024-02-29  {USERS}" in printed
    whole = build(url, tmp_path / "whole.csv", chunk_rows=2)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert whole.manifest["content_hash"] in printed


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_a_full_disk_leaves_nothing_and_the_next_job_goes_on(url: str, tmp_path: Path, fault: Fault, name: str) -> None:
    fault.fail(OSError(errno.ENOSPC, "No space left on device"), from_chunk=2)
    with pytest.raises(JobError, match=r"can't be written: No space left on device; .* 100 finished rows are kept in"):
        build(url, tmp_path / name, chunk_rows=50)
    assert [path.name for path in tmp_path.iterdir()] == [f".{name}.partial"]
    fault.mend()

    # What the chunk that failed had written is written again.
    resumed = build(url, tmp_path / name, chunk_rows=50)

    assert resumed.resumed_rows == 100
    assert resumed.manifest["content_hash"] == build(url, tmp_path / f"w{name}", chunk_rows=50).manifest["content_hash"]


def test_a_job_that_fails_before_its_first_chunk_leaves_no_folder(url: str, tmp_path: Path, fault: Fault) -> None:
    fault.fail(KeyboardInterrupt(), from_chunk=0)
    with pytest.raises(JobError, match=r"interrupted; nothing of .*out is written"):
        build(url, tmp_path / "out", chunk_rows=50)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_connection_is_told_and_the_next_job_goes_on(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PostgresReader.read

    def read_until_the_server_stops(self: PostgresReader, chunk: Any) -> Any:
        if chunk.number == 2:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND state = 'idle in transaction'"
                )
        return read(self, chunk)

    monkeypatch.setattr(PostgresReader, "read", read_until_the_server_stops)
    with pytest.raises(JobError, match=r"PostgreSQL failed: the server stopped, .* 100 finished rows are kept in"):
        build(url, tmp_path / "out", chunk_rows=50)
    monkeypatch.undo()

    assert build(url, tmp_path / "out", chunk_rows=50).resumed_rows == 100


@pytest.mark.parametrize(
    "changes",
    [
        # Ingestion would renew ingested_at, others may not.
        ["UPDATE usage_agg_30d_snapshots SET skips_7d = skips_7d + 1 WHERE user_id = '3413-BMNZE'"],
        ["DELETE FROM labels_snapshots WHERE user_id = '3413-BMNZE' AND as_of = '2024-02-29'"],
        ["INSERT INTO payments_agg_90d_snapshots SELECT user_id, 3, '2024-02-10', now() FROM users LIMIT 1"],
        # Another row in the very place of the old one.
        [
            "CREATE TABLE aside AS TABLE support_agg_90d_snapshots",
            "DELETE FROM support_agg_90d_snapshots",
            "VACUUM support_agg_90d_snapshots",
            "UPDATE aside SET support_tickets_90d = 9 WHERE user_id = '3413-BMNZE'",
            "INSERT INTO support_agg_90d_snapshots TABLE aside",
        ],
    ],
    ids=["a row updated", "a row deleted", "a row inserted", "rows replaced"],
)
def test_changed_data_start_again(url: str, tmp_path: Path, fault: Fault, changes: list[str]) -> None:
    fault.fail(KeyboardInterrupt(), from_chunk=2)
    with pytest.raises(JobError, match="interrupted"):
        build(url, tmp_path / "out", chunk_rows=50)
    fault.mend()
    execute(url, *changes)

    assert build(url, tmp_path / "out", chunk_rows=50).resumed_rows == 0
    build(url, tmp_path / "whole", chunk_rows=50)
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


@pytest.mark.parametrize("request_", [{"chunk_rows": 60}, {"service": "engagement_v1", "chunk_rows": 50}])
def test_a_changed_request_starts_again(url: str, tmp_path: Path, fault: Fault, request_: dict[str, Any]) -> None:
    fault.fail(KeyboardInterrupt(), from_chunk=2)
    with pytest.raises(JobError, match="interrupted"):
        build(url, tmp_path / "out", chunk_rows=50)
    fault.mend()

    assert build(url, tmp_path / "out", **request_).resumed_rows == 0
    build(url, tmp_path / "whole", **request_)
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_chunks_that_were_damaged_since_are_built_again(url: str, tmp_path: Path, fault: Fault) -> None:
    fault.fail(KeyboardInterrupt(), from_chunk=3)
    with pytest.raises(JobError, match="interrupted"):
        build(url, tmp_path / "out", chunk_rows=50)
    fault.mend()
    (tmp_path / ".out.partial/dataset/as_of=2024-01-31/part-00001.parquet").write_bytes(b"PAR1")

    assert build(url, tmp_path / "out", chunk_rows=50).resumed_rows == 50
    build(url, tmp_path / "whole", chunk_rows=50)
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_a_job_that_failed_between_its_last_chunk_and_its_name_only_has_to_be_named(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkingDir, "put_in_place", _no_space)
    with pytest.raises(JobError, match=f"{ROWS} finished rows are kept"):
        build(url, tmp_path / "out", chunk_rows=50)
    monkeypatch.undo()

    assert build(url, tmp_path / "out", chunk_rows=50).resumed_rows == ROWS
    assert len(read_rows(tmp_path / "out")) == ROWS


def test_one_job_at_a_time_writes_a_target(url: str, tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    handle = os.open(tmp_path / ".out.partial", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(JobError, match=r"another job is writing .*out; wait for it, or name another target"):
            build(url, tmp_path / "out")
    finally:
        os.close(handle)
    build(url, tmp_path / "out")


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_overwriting_puts_the_new_one_in_the_place_of_the_old(url: str, tmp_path: Path, name: str) -> None:
    build(url, tmp_path / name, service="engagement_v1")
    build(url, tmp_path / name, overwrite=True)

    whole = build(url, tmp_path / f"whole{name}")
    if name == "out":
        assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "wholeout")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "wholeout"]
    else:
        assert (tmp_path / name).read_bytes() == (tmp_path / f"whole{name}").read_bytes()
        manifest = json.loads((tmp_path / "out.manifest.json").read_text(encoding="utf-8"))
        assert manifest["content_hash"] == whole.manifest["content_hash"]


class Killed(BaseException):
    """What ends a process in the middle of a step, so that none of its own repairs run."""


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_training_set_that_a_killed_job_had_moved_aside_is_put_back_by_the_next_job(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    out = tmp_path / "out"
    build(url, out, service="engagement_v1")
    old = file_bytes(out)
    rename, renamed = Path.rename, list[Path]()

    def rename_once(self: Path, target: Path) -> Path:
        if renamed:
            raise Killed
        renamed.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_once)
    with pytest.raises(Killed):
        build(url, out, overwrite=True, chunk_rows=50)
    monkeypatch.undo()
    assert not out.exists()
    lines: list[str] = []

    said = f"an earlier job was stopped while it replaced {out}; {out} is there again as it was"
    if overwrite:
        assert build(url, out, overwrite=True, chunk_rows=50, on_progress=lines.append).resumed_rows == ROWS
        build(url, tmp_path / "whole", chunk_rows=50)
        assert file_bytes(out) == file_bytes(tmp_path / "whole")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]
    else:
        with pytest.raises(JobError, match="out is there already"):
            build(url, out, on_progress=lines.append)
        assert file_bytes(out) == old
    assert lines[0] == said


def test_a_job_killed_after_it_replaced_a_training_set_leaves_the_new_one(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    build(url, out, service="engagement_v1")
    rename = Path.rename

    def rename_into_place(self: Path, target: Path) -> Path:
        if target.name == "removed":
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_into_place)
    with pytest.raises(Killed):
        build(url, out, overwrite=True)
    monkeypatch.undo()
    new = file_bytes(out)

    with pytest.raises(JobError, match="out is there already"):
        build(url, out)
    build(url, tmp_path / "whole")
    assert new == file_bytes(out) == file_bytes(tmp_path / "whole")
    assert build(url, out, overwrite=True).resumed_rows == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_a_training_set_is_put_back_when_the_new_one_cannot_be_renamed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    build(url, out, service="engagement_v1")
    old, rename = file_bytes(out), Path.rename

    def rename_or_fail(self: Path, target: Path) -> Path:
        if self.name == "dataset":
            raise OSError(errno.EIO, "Input/output error", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    with pytest.raises(
        JobError, match=r"out can't be written: Input/output error .*out is as it was, and 200 finished"
    ):
        build(url, out, overwrite=True)
    assert file_bytes(out) == old


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_a_job_stopped_at_any_sync_to_disk_is_continued_to_the_same_bytes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def data(target: Path) -> Any:
        return file_bytes(target) if target.is_dir() else target.read_bytes()

    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,as_of\nx,2024-01-31\ny,2024-01-31\nz,2024-02-29\n", encoding="utf-8")
    options: dict[str, Any] = {"entities": entities, "chunk_rows": 1}
    build(url, tmp_path / f"whole{name}", **options)
    fsync, synced = os.fsync, count()

    def stopped_at(step: int) -> None:
        def fsync_or_stop(handle: int) -> None:
            if next(synced) == step:
                raise KeyboardInterrupt
            fsync(handle)

        monkeypatch.setattr(os, "fsync", fsync_or_stop)

    steps = 0
    while True:
        synced = count()
        stopped_at(steps)
        try:
            build(url, tmp_path / name, **options)
        except JobError:
            monkeypatch.undo()
            assert not (tmp_path / name).exists() or data(tmp_path / name) == data(tmp_path / f"whole{name}")
            build(url, tmp_path / name, overwrite=True, **options)
            assert data(tmp_path / name) == data(tmp_path / f"whole{name}")
        else:
            break
        (shutil.rmtree if name == "out" else Path.unlink)(tmp_path / name)
        steps += 1
    assert steps > 10


def test_a_job_that_fails_leaves_the_training_set_it_was_to_replace(url: str, tmp_path: Path, fault: Fault) -> None:
    build(url, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    fault.fail(KeyboardInterrupt(), from_chunk=1)
    with pytest.raises(JobError, match="out is as it was"):
        build(url, tmp_path / "out", overwrite=True, chunk_rows=50)
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "copy")


def test_what_takes_the_name_meanwhile_is_left_alone(url: str, tmp_path: Path) -> None:
    def on_progress(_: str) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)

    with pytest.raises(JobError, match="out is there already"):
        build(url, tmp_path / "out", on_progress=on_progress)
    assert list((tmp_path / "out").iterdir()) == []


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
