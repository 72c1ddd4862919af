"""Locks between real processes, some of which are killed."""

import json
import multiprocessing
import os

import pytest

from feature_store.locks import alone, in_company, locked

SPAWN = multiprocessing.get_context("spawn")


def _hold(path, held, release):
    with locked(path):
        held.set()
        release.wait(30)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock, and the event that makes it let go."""
    held, release = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=_hold, args=(tmp_path / "job.lock", held, release))
    process.start()
    assert held.wait(30)
    yield process, release
    process.kill()
    process.join()


def test_who_waits_says_for_whom(tmp_path, holder, capfd):
    process, release = holder
    waiter = SPAWN.Process(target=_wait, args=(tmp_path / "job.lock",))
    waiter.start()
    said = ""
    while "waits" not in said and waiter.is_alive():
        said += capfd.readouterr().err
    release.set()
    waiter.join(30)
    assert waiter.exitcode == 0
    assert said.startswith(f"nightmill: embed for 1998-01-02 waits for the lock job of pid {process.pid} on ")


def _wait(path):
    with locked(path, "embed for 1998-01-02"):
        pass


def test_a_lock_dies_with_its_process_and_the_file_it_leaves_means_nothing(tmp_path, holder, capfd):
    process, _ = holder
    process.kill()
    process.join()
    path = tmp_path / "job.lock"
    assert json.loads(path.read_text())["pid"] == process.pid
    with locked(path, "embed"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert capfd.readouterr().err == ""


def _add_one(path, counter, times):
    for _ in range(times):
        with locked(path):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_never_two_at_once(tmp_path):
    (tmp_path / "counter").write_text("0")
    arguments = (tmp_path / "job.lock", tmp_path / "counter", 200)
    processes = [SPAWN.Process(target=_add_one, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "counter").read_text() == "600"


def _work(folder, began, release):
    with in_company(folder, "a job"):
        began.set()
        release.wait(30)


def _wait_alone(folder, held, release):
    with alone(folder, "forget"):
        held.set()
        release.wait(30)


def test_alone_waits_for_those_at_work_and_goes_before_those_who_come_later(tmp_path, capfd):
    began, other, later, held, done = (SPAWN.Event() for _ in range(5))
    workers = [SPAWN.Process(target=_work, args=(tmp_path, event, done)) for event in (began, other)]
    for worker in workers:
        worker.start()
    assert began.wait(30)
    assert other.wait(30)
    waiter = SPAWN.Process(target=_wait_alone, args=(tmp_path, held, later))
    waiter.start()
    said = ""
    while "waits until the jobs at work have ended" not in said and waiter.is_alive():
        said += capfd.readouterr().err
    newcomer, in_turn = SPAWN.Event(), SPAWN.Event()
    third = SPAWN.Process(target=_work, args=(tmp_path, newcomer, in_turn))
    third.start()
    while "a job waits for the lock" not in said and third.is_alive():
        said += capfd.readouterr().err
    assert not held.is_set()
    assert not newcomer.is_set()
    done.set()
    assert held.wait(30)
    assert not newcomer.is_set()
    waiter.kill()
    assert newcomer.wait(30)
    in_turn.set()
    for process in (*workers, waiter, third):
        process.join(30)
    assert [process.exitcode for process in (*workers, third)] == [0, 0, 0]
