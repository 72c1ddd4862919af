"""Groups of features: which columns a ranker may look at."""

from collections.abc import Iterable, Mapping

from feature_store.contract import GENERATED, GROUPS
from feature_store.errors import SettingsError
from feature_store.tables import CHANNEL_COLUMNS, CHANNELS, ITEM_FEATURES, PAIR_FEATURES, USER_FEATURES

COLUMNS = (*CHANNEL_COLUMNS, *ITEM_FEATURES, *USER_FEATURES, *PAIR_FEATURES)
FEATURES = tuple(column.name for column in COLUMNS)
GROUP_OF = {column.name: column.group for column in COLUMNS}
# The groups that need no model; the others have to prove what they are worth.
GIVEN = tuple(group for group in GROUPS if group not in GENERATED)


def features_of(groups: Iterable[str]) -> tuple[str, ...]:
    """The features of some groups, in the order of the contracts."""
    wanted = set(groups)
    return tuple(name for name in FEATURES if GROUP_OF[name] in wanted)


def channels_of(features: Iterable[str]) -> tuple[str, ...]:
    """The channels whose ranks are among the features."""
    present = set(features)
    return tuple(channel for channel in CHANNELS if f"{channel}_rank" in present)


def chosen(wanted: tuple[str, ...], verdicts: Mapping[str, str]) -> tuple[str, ...]:
    """The groups that the setting ranker.groups stands for.

    "verdict": those that need no model, and of the others those whose verdict is keep. "all": every group.
    SettingsError names a group that there is none of.
    """
    if unknown := sorted(set(wanted) - {*GROUPS, "verdict", "all"}):
        raise SettingsError(
            f"setting ranker.groups: there is no group {', '.join(unknown)}; "
            f'there are {", ".join(GROUPS)}, and "verdict" and "all"'
        )
    found = set(wanted)
    if "all" in found:
        found.update(GROUPS)
    if "verdict" in found:
        found.update(GIVEN, (group for group in GENERATED if verdicts.get(group) == "keep"))
    return tuple(group for group in GROUPS if group in found)
