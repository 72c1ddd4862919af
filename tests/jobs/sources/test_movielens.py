import json

FILM_100K = "{}|{}|01-Jan-1995||http://x|{}\n"


def _flags(*on):
    return "|".join("1" if n in on else "0" for n in range(19))


def _tables(raw):
    events = [tuple(r.values()) for r in raw.events.sort_by([("event_time", "ascending")]).to_pylist()]
    return [(u, i, at.isoformat()[:10], w) for u, i, at, _, w in events], {
        row["item_id"]: (row["title"], row["categories"]) for row in raw.items.to_pylist()
    }


def test_100k_with_flags_and_latin_1(read):
    # flags: 1 Action, 3 Animation, 0 unknown
    films = FILM_100K.format(1, "Café Noir (1995)", _flags(1, 3)) + FILM_100K.format(2, "unknown", _flags(0))
    files = {"u.data": "7\t1\t5\t883612800\n8\t2\t3\t883699200\n", "u.item": films.encode("latin-1")}
    files["u.user"] = "7|24|M|technician|85711\n8|30|F|writer|10003\n"
    raw = read(files, profile="movielens_100k", SOURCE__USER_ATTRIBUTES='["occupation"]')
    events, items = _tables(raw)
    assert events == [("7", "1", "1998-01-01", 5.0), ("8", "2", "1998-01-02", 3.0)]
    assert items == {"1": ("Café Noir (1995)", ["Action", "Animation"]), "2": ("unknown", [])}
    assert [json.loads(row["attributes"]) for row in raw.users.sort_by("user_id").to_pylist()] == [
        {"occupation": "technician"},
        {"occupation": "writer"},
    ]


def test_1m_with_double_colons_and_latin_1(read):
    films = "1::Toy Tales: Part I (1995)::Animation|Children's\n2::Café (1999)::Drama\n"
    files = {"ratings.dat": "7::1::5::978300760\n7::2::4::978302109\n", "movies.dat": films.encode("latin-1")}
    events, items = _tables(read(files, profile="movielens_1m"))
    assert events == [("7", "1", "2000-12-31", 5.0), ("7", "2", "2000-12-31", 4.0)]
    assert items == {
        "1": ("Toy Tales: Part I (1995)", ["Animation", "Children's"]),
        "2": ("Café (1999)", ["Drama"]),
    }


def test_latest_with_quotes_and_no_genres(read):
    films = 'movieId,title,genres\n1,"Tale, A (1995)",Comedy|Drama\n2,"The ""X"" (1996)",(no genres listed)\n'
    files = {"ratings.csv": "userId,movieId,rating,timestamp\n7,1,3.5,1467331200\n", "movies.csv": films}
    events, items = _tables(read(files, profile="movielens_latest"))
    assert events == [("7", "1", "2016-07-01", 3.5)]
    assert items == {"1": ("Tale, A (1995)", ["Comedy", "Drama"]), "2": ('The "X" (1996)', [])}
