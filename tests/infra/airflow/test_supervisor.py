"""Real processes that stand in for servers: started again, and never two of one."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

# The supervisor makes itself the parent of whatever its services lose, so it is in a process of its own.
SUPERVISING = """
import os, signal, sys, time
from pathlib import Path
from feature_store.errors import NightmillError
from infra.airflow.services import Service
from infra.airflow import supervisor
from infra.airflow.supervisor import Supervisor

home, script = Path(sys.argv[1]), sys.argv[2]
(home / "logs").mkdir(exist_ok=True)
lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT)

def service(name, code):
    return Service(name, [sys.executable, "-c", code], {**os.environ, "HOME_OF_TEST": str(home)})

def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)

exec(Path(script).read_text())
"""
# A server that starts a process which outlives it, in a session of its own.
WITH_A_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
open(os.environ["HOME_OF_TEST"] + "/pids", "a").write(f"{os.getpid()} {child.pid}\\\\n")
time.sleep(300)
"""
# A server that starts a process which starts another and is gone before it.
LOSES_A_CHILD = """
import subprocess, sys, time
short = "import time; time.sleep(1)"
code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {short!r}])"
subprocess.run([sys.executable, "-c", code])
time.sleep(300)
"""


@pytest.fixture
def supervise(tmp_path):
    def run(code: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "script.py").write_text(code)
        command = [sys.executable, "-c", SUPERVISING, str(tmp_path), str(tmp_path / "script.py")]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    return run


def alive(home: Path) -> list[int]:
    pids = [int(pid) for pid in (home / "pids").read_text().split()]
    return [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_killed_service_is_started_again_and_what_it_left_goes_first(supervise, tmp_path):
    done = supervise(f'''
with Supervisor(home, lock) as running:
    running.start(service("one", """{WITH_A_CHILD}"""))
    running.start(service("two", "import time; time.sleep(300)"))
    until(lambda: (home / "pids").exists() and (home / "pids").read_text().count("\\n") == 1)
    first, lost = map(int, (home / "pids").read_text().split())
    other = running.processes["two"].pid
    running.check()
    os.kill(first, signal.SIGKILL)
    until(lambda: running.processes["one"].poll() is not None)
    running.check()
    until(lambda: (home / "pids").read_text().count("\\n") == 2)
    assert not os.path.exists(f"/proc/{{lost}}")
    assert running.processes["two"].pid == other and running.processes["two"].poll() is None
''')
    assert done.returncode == 0, done.stderr
    assert "one stopped with exit code -9 and is started again" in done.stderr
    assert alive(tmp_path) == []


def test_a_service_that_keeps_dying_is_named(supervise):
    done = supervise("""
with Supervisor(home, lock) as running:
    running.start(service("one", "raise SystemExit(3)"))
    try:
        until(running.check, 60)
    except NightmillError as error:
        print(error)
""")
    assert "one stopped with exit code 3, after 5 starts within 600 s" in done.stdout, done.stderr


def test_a_service_that_falls_silent_is_started_again(supervise):
    done = supervise("""
supervisor.PROBE_EVERY_SECONDS = supervisor.SILENT_SECONDS = 0.1
with Supervisor(home, lock) as running:
    speaks = iter([True, False, False])
    running.start_healthy(service("one", "import time; time.sleep(300)"), lambda: next(speaks, True), 30)
    first = running.processes["one"].pid
    until(lambda: running.check() or running.processes["one"].pid != first)
""")
    assert done.returncode == 0, done.stderr
    assert "one has not been healthy for" in done.stderr


def test_what_a_service_lost_does_not_stay_when_it_has_ended(supervise):
    done = supervise(f"""
import psutil, subprocess
def ended():
    return [child.pid for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]
supervisor.PROBE_EVERY_SECONDS = 0.0
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
with Supervisor(home, lock) as running:
    running.start(service("one", {LOSES_A_CHILD!r}))
    until(lambda: len(ended()) == 2)
    running.check()
    assert ended() == [own.pid]
    assert own.wait() == 7
""")
    assert done.returncode == 0, done.stderr


def test_what_others_need_is_there_again_before_they_are_started(supervise):
    done = supervise("""
from dataclasses import replace
with Supervisor(home, lock) as running:
    answers = iter([True, False, False, True])
    def there():
        return next(answers, True)
    database = replace(service("database", "import time; time.sleep(300)"), late=True)
    running.start_healthy(database, there, 30)
    running.start(service("needs-it", "import time; time.sleep(300)"))
    for process in running.processes.values():
        process.kill()
        process.wait()
    running.check()
    assert list(answers) == []
    assert [process.poll() for process in running.processes.values()] == [None, None]
""")
    assert done.returncode == 0, done.stderr


def test_what_does_not_start_is_not_tried_again(supervise):
    done = supervise("""
with Supervisor(home, lock) as running:
    try:
        running.start_healthy(service("one", "raise SystemExit(3)"), lambda: False, 30)
    except NightmillError as error:
        print(error)
""")
    assert "one stopped with exit code 3; see" in done.stdout, done.stderr


def test_late_services_outlive_those_that_need_them(supervise, tmp_path):
    says = "import signal, sys, time\n"
    says += "def end(*_):\n open('{home}/ends', 'a').write('{name} '); sys.exit()\n"
    says += "signal.signal(signal.SIGTERM, end); open('{home}/ready-{name}', 'w'); time.sleep(300)"
    done = supervise(f'''
from dataclasses import replace
says = """{says}"""
with Supervisor(home, lock) as running:
    for name in ("database", "server", "worker"):
        made = service(name, says.replace("{{home}}", str(home)).replace("{{name}}", name))
        running.start(replace(made, late=name != "worker"))
    until(lambda: len(list(home.glob("ready-*"))) == 3)
''')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ends").read_text().split() == ["worker", "server", "database"]
