"""Ids in logs are covered where they are ids, and nothing else of the log is touched."""

from feature_store.partitions import Store
from jobs.forgetting.mentions import Mentions, cover
from jobs.forgetting.people import People
from jobs.forgetting.summary import Summary


def _covered(tmp_path, text, *ids, name="airflow/logs/attempt=1.log", dry_run=False):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    summary = Summary(tmp_path, len(ids), dry_run)
    cover(Store(tmp_path), People(frozenset(ids)), summary)
    return path.read_bytes(), summary


def test_an_id_is_covered_as_a_whole_word_in_every_way_texts_write_it(tmp_path):
    text = 'user_id=änn&4711 "\\u00e4nn&4711" änn&amp;4711 änn&47110 Xänn&4711'.encode()
    covered, summary = _covered(tmp_path, text, "änn&4711")
    stars = ("*" * 9, "*" * 13, "*" * 13)
    assert covered.decode() == 'user_id={} "{}" {} änn&47110 Xänn&4711'.format(*stars)
    assert summary.removed == {"mentions in logs and pages": 3}
    assert len(covered) == len(text)


def test_a_number_is_covered_only_where_it_is_called_a_user_or_quoted(tmp_path):
    text = (
        b'196 rows in 196 s: user_id=196 item_id=196; user 196, \'196\', \\"196\\", "196|m1|m2", 1960 "1961"'
    )
    covered, _ = _covered(tmp_path, text, "196")
    assert covered == (
        b'196 rows in 196 s: user_id=*** item_id=196; user ***, \'***\', \\"***\\", "***|m1|m2", 1960 "1961"'
    )


def test_twice_is_once_and_a_dry_run_is_none(tmp_path):
    text = b"user_id=visitor-1"
    said, summary = _covered(tmp_path, text, "visitor-1", dry_run=True)
    assert (said, summary.removed["mentions in logs and pages"]) == (text, 1)
    once, _ = _covered(tmp_path, text, "visitor-1")
    twice, summary = _covered(tmp_path, once, "visitor-1")
    assert once == twice == b"user_id=*********"
    assert not summary.removed


def test_a_file_that_is_no_log_is_named_and_left(tmp_path):
    text = b"SQLite format 3\0 ... visitor-1 ..."
    said, summary = _covered(tmp_path, text, "visitor-1", name="airflow/airflow.db")
    assert said == text
    assert len(summary.left) == 1
    assert "airflow.db mentions them" in summary.left[0]
    assert "visitor-1" not in str(summary)


def test_what_may_be_a_mention_is_more_than_what_is_one():
    mentions = Mentions(People(frozenset({"7"})))
    assert mentions.may_be_in(b"<bdi>7</bdi>")
    assert not mentions.may_be_in(b"77")
    assert not mentions.are_in(b"7")
