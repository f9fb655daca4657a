"""What `docs/jobs.md` says: each CronJob makes Jobs by hand, months come in, and training sets go out."""

import re
from pathlib import Path

import pytest
import yaml
from cluster import Cluster
from manifests import K8S, Combination, Copy, Manifests, build, edit
from readme import README, lines

_TEXT = (K8S / "docs" / "jobs.md").read_text(encoding="utf-8")
_NEEDS_A_CONTAINER = (" exec ", " logs ", "{.status.ready}")
"""What simulated pods can't do. A pod of a Job that is simulated is ready for five seconds."""


def test_each_cron_job_has_its_command(built: dict[Combination, Manifests]) -> None:
    table = _TEXT.partition("| CronJob |")[2].partition("\n\n")[0]
    named = dict(re.findall(r"^\| `([\w-]+)` .*`(kubectl [^`]+)` \|$", table, re.MULTILINE))
    assert named.keys() == built["production", ()].names("CronJob")
    for name, command in named.items():
        assert f" create job --from=cronjob/{name} {name}" in command


def test_a_claim_of_an_object_store_takes_the_place_of_the_months(copy: Copy) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", _TEXT, re.MULTILINE | re.DOTALL)
    folder = copy.overlay("production", ())
    patches = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8")).get("patches", [])
    edit(folder, patches=[*patches, *yaml.safe_load(block)["patches"]])
    volumes = build(folder).workload("ingest").pod["volumes"]
    (claim,) = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if volume["name"] == "months"]
    assert claim == "months-of-the-object-store"


def test_each_thing_to_watch_has_what_to_do() -> None:
    table = README.partition("| what | where | what it means | what to do |\n")[2].partition("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", row)[1:-1] for row in table.splitlines()[1:]]
    assert len(rows) > 10
    assert all(len(row) == 4 and row[3].strip() for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_run_in_order_and_their_jobs_complete(cluster: Cluster, copy: Copy, tmp_path: Path) -> None:
    cluster.kubectl("apply", "-k", str(copy.overlay("local", ())))
    names = set()
    for line in lines(_TEXT):
        if not any(words in line for words in _NEEDS_A_CONTAINER):
            cluster.shell(line, tmp_path)
            names |= set(re.findall(r" create job --from=cronjob/\S+ (\S+)$", line))
    assert len(names) > 5
    jobs = [f"job/{name}" for name in sorted(names - {"files"})]
    cluster.ours("wait", "--for=condition=complete", "--timeout=230s", *jobs)
