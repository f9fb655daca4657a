"""The benchmark measures each way of building a training set on the same rows."""

import pytest
from streamflow_loadtests.training_set.__main__ import run
from streamflow_offline.errors import JobError
from training_sets import query


@pytest.mark.slow
def test_each_way_is_measured_and_nothing_is_left(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTGRES_URL", postgres_url)
    run(["30x2"], runs=1)

    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(" 30 x 2")]
    assert [line[3] for line in lines] == ["training-set", "get_historical_features(DataFrame).to_df()", "hand-written"]
    assert all(float(line[-3].replace(",", "")) > 30 for line in lines)
    assert lines[1][-2] == lines[2][-1] == "1.00"
    assert query(postgres_url, "SELECT datname FROM pg_database WHERE datname LIKE 'training_set_benchmark%'") == []


def test_a_malformed_size_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", postgres_url)
    with pytest.raises(JobError, match="'7043' is not a size; write USERSxMONTHS"):
        run(["7043"])
