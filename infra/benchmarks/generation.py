"""nightmill bench generation: what the machinery around the model costs, and what it saves.

Some fifteen minutes on two cores: an ingest and a whole first night of item profiles on MovieLens-100k, the
same commands again, two rounds of both sides of throughput, and planning.
"""

from collections.abc import Callable
from datetime import date

from feature_store.sections import Settings
from infra.benchmarks import planning, throughput
from infra.benchmarks.measures import Row
from infra.benchmarks.processes import nightmill

DS = date(1998, 1, 7)


def run(settings: Settings, say: Callable[[str], None]) -> list[Row]:
    """Every measure; engines are loaded one after the other, never two at a time."""
    unchanged = unchanged_night(say)
    say("embedding the catalogue, for the A/B questions")
    nightmill("embed", "--ds", str(DS))
    return [*throughput.measure(settings, DS, say), *planning.measure(settings, say), *unchanged]


def unchanged_night(say: Callable[[str], None]) -> list[Row]:
    """What a night without changes costs, as a share of the first: whole processes, engine included."""
    seconds = []
    for which in ("first", "unchanged"):
        say(f"the {which} night: ingest and profile_items for {DS}")
        seconds.append(sum(nightmill(job, "--ds", str(DS)) for job in ("ingest", "profile_items")))
    nightmill("stop")
    first, second = seconds
    return [
        Row("unchanged_night_share", second / first, None, "share of the first night"),
        Row("unchanged_night_seconds", second, first, "s"),
    ]
