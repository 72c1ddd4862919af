"""forget: removes everything the data root knows of some users, and sees to it that they do not come back.

A run of a partition that has rows of theirs is followed by one without them, under the same fingerprint, and
goes at once; so do superseded runs, the model's answers, and what it was shown. No job is at work meanwhile.
Everything is done in an order that may be cut short anywhere; done again, it finds what is left:

    list for ingest -> answers, which rows name -> rows -> superseded runs -> pages, exports, catalogue, logs

The files that ingest reads are not Nightmill's, so it leaves these users out by the list (forgotten.json).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from feature_store.catalog import rewrite
from feature_store.errors import UsageError
from feature_store.forgotten import add
from feature_store.partitions import Store, read
from feature_store.settings import Settings
from jobs.forgetting import answers, mentions, pages, runs
from jobs.forgetting.people import People
from jobs.forgetting.remote_runs import remove_remote
from jobs.forgetting.summary import Summary
from jobs.step import new_run_id


def forget(store: Store, settings: Settings, user_ids: Sequence[str], dry_run: bool = False) -> Summary:
    """Remove what is stored of these users; dry_run: only say what that would be.

    Waits until the jobs at work have ended. UsageError for an id that is none.
    """
    if not all(user.strip() for user in user_ids):
        raise UsageError("--user-id is empty")
    people = People(frozenset(user_ids), settings.source.user)
    summary = Summary(store.root, len(people.ids), dry_run)
    with store.lease() if dry_run else _alone(store):
        if not dry_run:
            add(store, sorted(people.ids))
        _remove(store, settings, people, summary)
    return summary


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    # Whoever is `alone` is waited for in silence, so two of these meet at a lock that says so.
    with ExitStack() as held:
        held.enter_context(store.lock("forget", "forget"))
        held.enter_context(store.lease())
        held.enter_context(store.alone("forget"))
        for rival in ("compact", "gc"):
            held.enter_context(store.lock(rival, "forget"))
        yield


def _remove(store: Store, settings: Settings, people: People, summary: Summary) -> None:
    answers.forget_answers(store, people, summary)
    answers.forget_inputs(store, people, summary)
    answers.forget_scratch(store, summary)
    summary.trained = _trained(store, people)
    runs.republish(store, people, new_run_id(), summary)
    runs.remove_others(store, people, summary)
    remove_remote(store, people, summary)
    pages.clear_data_docs(store, people, summary)
    pages.write_reports(store, settings, people, summary)
    pages.export_again(store, settings, people, summary)
    if not summary.dry_run:
        rewrite(store)
    mentions.cover(store, people, summary)


def _trained(store: Store, people: People) -> list[str]:
    """The nights whose rankers learnt from rows of theirs; from rows that went before, too."""
    learnt = {partition.ds for partition in runs.with_rows(store, "training_set", people)}
    made = set()
    for partition in store.partitions("rankers"):
        for row in read("rankers", partition.files, ["status", "trained_ds"]).to_pylist():
            if row["status"] != "fallback" and row["trained_ds"] in learnt:
                made.add(row["trained_ds"].isoformat())
    return sorted(made)
