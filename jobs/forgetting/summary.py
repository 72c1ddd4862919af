"""What a forgetting removed, or would remove, and what it leaves."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Summary:
    """Rows, files and lines by kind of place; what no id is needed for is said by `str`, so none is in it."""

    root: Path
    users: int
    dry_run: bool
    removed: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    trained: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    cleared: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, amount: int = 1, places: int = 0) -> None:
        """Count what was found; places: in how many partitions or files, where that says more."""
        if amount:
            self.removed[what] += amount
            self.places[what] += places

    def clear(self, what: str) -> None:
        """Count what goes whosever it is, for nobody can tell."""
        self.cleared[what] += 1

    def __str__(self) -> str:
        whom = "this user" if self.users == 1 else f"these {self.users} users"
        lines = [f"nothing of {whom} is in {self.root}"]
        if self.removed:
            did = "would be removed" if self.dry_run else "removed"
            lines = [f"{did}, of {whom} in {self.root}:"]
            lines += [self._line(what, amount) for what, amount in sorted(self.removed.items())]
        if self.cleared:
            lines.append("whosever they are:" if self.dry_run else "removed, whosever they were:")
            lines += [f"  {what}: {amount:,}" for what, amount in sorted(self.cleared.items())]
        if self.trained and self.removed:
            lines.append(
                f"the rankers of {', '.join(self.trained)} learnt from lists of users who are forgotten now, "
                "and the item factors of these nights did: sums over many users, without an id. What is "
                "trained next does without"
            )
        lines.append(self._from_now_on(whom))
        return "\n".join([*lines, *(f"left: {one}" for one in self.left)])

    def _line(self, what: str, amount: int) -> str:
        places = f" in {self.places[what]:,}" if self.places[what] else ""
        return f"  {what}: {amount:,}{places}"

    def _from_now_on(self, whom: str) -> str:
        if self.dry_run:
            return "nothing was changed (--dry-run)"
        return (
            f"ingest leaves {whom} out from now on. Not Nightmill's to remove: the raw files, exports and "
            "copies outside the data root, other data roots (run it there as well), backups, older versions "
            "that an object store keeps. Counts of items and measures of past nights stay: they name nobody"
        )
