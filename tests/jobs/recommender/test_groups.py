import pytest

from feature_store.contract import GENERATED, GROUPS
from feature_store.errors import SettingsError
from jobs.recommender.groups import FEATURES, GIVEN, GROUP_OF, channels_of, chosen, features_of


def test_every_feature_is_of_one_known_group():
    assert set(GROUP_OF.values()) <= set(GROUPS)
    assert sum(len(features_of([group])) for group in GROUPS) == len(FEATURES)


def test_what_a_model_made_is_of_a_generated_group():
    made = {name for name in FEATURES if name.startswith("llm_") or name.endswith("_profile_present")}
    made |= {f"{channel}_{what}" for channel in ("content", "cold_start") for what in ("rank", "score")}
    assert made == set(features_of(GENERATED))


def test_features_keep_the_order_of_the_contracts_whatever_the_order_of_the_groups():
    assert features_of(["recall", "behaviour"]) == features_of(["behaviour", "recall"])
    assert features_of(reversed(GROUPS)) == FEATURES
    assert features_of([]) == ()


def test_channels_are_those_whose_ranks_are_features():
    generated = {"content", "cold_start"}
    assert generated <= set(channels_of(FEATURES))
    assert channels_of(features_of(GIVEN)) == tuple(c for c in channels_of(FEATURES) if c not in generated)
    assert channels_of(["als_score"]) == ()


@pytest.mark.parametrize(
    ("setting", "groups"),
    [
        (("verdict",), ("behaviour", "recall", "embeddings")),
        (("all",), GROUPS),
        (("behaviour",), ("behaviour",)),
        (("verdict", "user_text"), ("behaviour", "recall", "user_text", "embeddings")),
    ],
)
def test_the_setting_decides_and_the_verdict_where_it_says_so(setting, groups):
    assert chosen(setting, {"item_text": "drop", "user_text": "unsure", "embeddings": "keep"}) == groups


def test_without_a_verdict_nothing_generated_is_used():
    assert chosen(("verdict",), {}) == GIVEN


def test_an_unknown_group_is_named():
    with pytest.raises(SettingsError, match=r"no group vectors; there are behaviour, recall"):
        chosen(("vectors", "recall"), {})
