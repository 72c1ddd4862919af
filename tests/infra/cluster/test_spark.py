import stat

from infra.cluster.spark import WORKERS, SparkCluster


def test_all_share_a_secret_that_is_in_a_private_file_only(tmp_path):
    spark = SparkCluster(tmp_path, 7077, 8180)
    spark.prepare()
    path = tmp_path / "conf" / "spark-defaults.conf"
    found = dict(line.split(" ", 1) for line in path.read_text().splitlines())
    assert found["spark.authenticate"] == "true"
    assert len(found["spark.authenticate.secret"]) > 30
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = [word for service in spark.services({}) for word in (*service.command, *service.env.values())]
    assert not [word for word in said if found["spark.authenticate.secret"] in word]


def test_one_master_and_two_workers_on_the_loopback(tmp_path):
    master, *workers = SparkCluster(tmp_path, 7077, 8180).services({"PATH": "/bin"})
    assert [worker.name for worker in workers] == [f"spark-worker-{n + 1}" for n in range(WORKERS)]
    assert workers[0].command[-1] == "spark://127.0.0.1:7077"
    for service in (master, *workers):
        assert service.command[service.command.index("--host") + 1] == "127.0.0.1"
        assert service.env["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_a_master_that_does_not_answer_is_not_healthy(tmp_path):
    assert not SparkCluster(tmp_path, 1, 1).healthy()
