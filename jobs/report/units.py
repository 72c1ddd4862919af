"""Numbers as people read them: with separators, units and as many digits as mean something."""

from datetime import date

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def number(value: float) -> str:
    """A count with thousands separators."""
    return f"{value:,.0f}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 user, 1,204 users."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def short(value: float) -> str:
    """A large count in three digits: 512, 51.2 k, 5.12 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}" if abs(value) < 999.5 * size else f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}"


def span(seconds: float) -> str:
    """A length of time in its two largest units: 4.2 s, 6 min 12 s, 3 h 5 min, 2 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    sizes = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    at = next(i for i, (size, _) in enumerate(sizes) if whole >= size)
    (large, name), (small, rest_name) = sizes[at], sizes[at + 1]
    rest = whole % large // small
    return f"{whole // large} {name}" + (f" {rest} {rest_name}" if rest else "")


def day(value: date) -> str:
    """A date in words: 7 January 1998."""
    return f"{value.day} {value:%B %Y}"


def metric(value: float | None, signed: bool = False, digits: int = 3) -> str:
    """A metric to some digits after the point, a dash where there is none."""
    if value is None:
        return DASH
    # A hair below zero is no minus.
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, signed: bool = False, digits: int = 3) -> str:
    """A 95% interval: 0.081 to 0.125."""
    if low is None or high is None:
        return DASH
    return f"{metric(low, signed, digits)} to {metric(high, signed, digits)}"


def lift(value: float | None) -> str:
    """A difference that is small where it matters: four digits, with its sign."""
    return metric(value, signed=True, digits=4)


def lift_interval(low: float | None, high: float | None) -> str:
    """The 95% interval of such a difference."""
    return interval(low, high, signed=True, digits=4)


def percent(share: float | None) -> str:
    """A share in percent."""
    if share is None:
        return DASH
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"
