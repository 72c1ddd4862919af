"""What aligning takes: the job runs over the made shop, small."""

from feature_store.settings import load_settings
from infra.benchmarks import cold_start_speed
from infra.benchmarks.made_tastes import Scale


def test_the_job_runs_over_a_small_made_shop(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTMILL_ALIGNMENT__PASSES", "2")
    settings = load_settings({"NIGHTMILL_DATA": str(tmp_path)})
    said = []
    rows = cold_start_speed.measure(settings, said.append, Scale(users=100, items=200, events=3000))
    assert [row.measure for row in rows] == ["align_seconds", "align_peak_gib"]
    assert all(row.ours > 0 for row in rows)
    assert said[0] == "making 3,000 events of 100 users on 200 items"
