import pytest

from feature_store.errors import SettingsError
from feature_store.settings import load_settings


def test_defaults_load_and_paths_are_absolute():
    settings = load_settings({})
    assert settings.data_root.is_absolute()
    assert settings.cache_root.is_absolute()
    assert len(settings.nightly.dates) == 3


def test_environment_overrides_by_section_and_key():
    settings = load_settings(
        {"NIGHTMILL_RECALL__FACTORS": "8", "NIGHTMILL_GENERATION__HTTP__URL": "http://x/v1"}
    )
    assert settings.recall.factors == 8
    assert settings.generation.http.url == "http://x/v1"


def test_short_names_for_the_two_roots(tmp_path):
    settings = load_settings({"NIGHTMILL_DATA": str(tmp_path / "d"), "NIGHTMILL_CACHE": str(tmp_path / "c")})
    assert (settings.data_root, settings.cache_root) == (tmp_path / "d", tmp_path / "c")


def test_profile_lies_between_defaults_and_environment():
    profile = {"NIGHTMILL_PROFILE": "online_retail"}
    assert load_settings(profile).source.price == "price"
    assert load_settings(profile | {"NIGHTMILL_SOURCE__PRICE": ""}).source.price == ""
    assert load_settings(profile).source.user == load_settings({}).source.user


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"NIGHTMILL_RANKER__LEAVES": "3"}, "unknown setting ranker.leaves"),
        ({"NIGHTMILL_NOTHING": "3"}, "unknown setting nothing"),
        ({"NIGHTMILL_RANKER__SEED": "x"}, "ranker.seed"),
        ({"NIGHTMILL_PROFILE": "absent"}, r"profiles that exist: .*default"),
        ({"NIGHTMILL_SOURCE__USER_ATTRIBUTES": '["Gender"]'}, "protected attribute"),
        ({"NIGHTMILL_TIME__MODE": "guess"}, "time.mode"),
    ],
)
def test_bad_settings_are_refused_by_name(environ, message):
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(environ)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
