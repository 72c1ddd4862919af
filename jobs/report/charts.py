"""Pictures as inline SVG and HTML: no script, no font, no file of their own.

Widths are percentages and text is not scaled, so that a picture is as legible on a telephone as on paper.
Colours are classes (s0 .. s7) that the style sheet fills in for light, dark and print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from jobs.report import units

HEIGHT = 190
TOP = 14
BOTTOM = 26
MANY = 8


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, one row of `estimates`; `strong` marks the one the reader came for."""

    label: str
    value: float
    low: float | None
    high: float | None
    strong: bool = False


@dataclass(frozen=True)
class Bar:
    """A bar of which `part` (of the same unit) is filled in full colour; series picks the colour."""

    label: str
    value: float
    text: str
    part: float | None = None
    series: int = 0


@dataclass(frozen=True)
class Series:
    """One colour over several columns; with intervals where there are any."""

    name: str
    values: list[float | None]
    intervals: list[tuple[float | None, float | None]] | None = None


def ticks(largest: float, about: int = 4) -> list[float]:
    """Round numbers from zero to at least `largest`."""
    if largest <= 0 or not math.isfinite(largest):
        return [0.0, 1.0]
    rough = largest / about
    size = 10 ** math.floor(math.log10(rough))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= rough * 0.999)
    return [i * step for i in range(math.ceil(largest / step - 1e-9) + 1)]


def estimates(rows: Sequence[Estimate]) -> Markup:
    """Points with whiskers on one scale from zero."""
    marks = ticks(max((row.high if row.high is not None else row.value for row in rows), default=0.0))
    lines = Markup("").join(_estimate(row, marks) for row in rows)
    return Markup('<div class="rows">{}{}</div>').format(lines, _scale(marks))


def _estimate(row: Estimate, marks: list[float]) -> Markup:
    whisker = Markup("")
    if row.low is not None and row.high is not None:
        whisker = Markup(
            '<line x1="{}%" x2="{}%" y1="11" y2="11" class="whisker"/>'
            '<line x1="{}%" x2="{}%" y1="6" y2="16" class="whisker"/>'
            '<line x1="{}%" x2="{}%" y1="6" y2="16" class="whisker"/>'
        ).format(*(_x(end, marks) for end in (row.low, row.high, row.low, row.low, row.high, row.high)))
    return Markup(
        '<div class="row{}"><span class="label">{}</span>'
        '<svg class="plot" height="22" role="img" aria-label="{}"><title>{}</title>{}{}'
        '<circle cx="{}%" cy="11" r="5" class="point"/></svg>'
        '<span class="value"><b>{}</b> <small>{}</small></span></div>'
    ).format(
        " strong" if row.strong else "",
        row.label,
        *[f"{row.label}: {units.metric(row.value)}, 95% interval {units.interval(row.low, row.high)}"] * 2,
        _grid(marks, 22),
        whisker,
        _x(row.value, marks),
        units.metric(row.value),
        units.interval(row.low, row.high),
    )


def bars(rows: Sequence[Bar], scaled_to: float | None = None) -> Markup:
    """Horizontal bars, one a row; the part of a bar that has a meaning of its own is the darker one."""
    longest = scaled_to or max((row.value for row in rows), default=0.0) or 1.0
    return Markup('<div class="rows">{}</div>').format(Markup("").join(_bar(row, longest) for row in rows))


def _bar(row: Bar, longest: float) -> Markup:
    whole = 100 * row.value / longest
    part = whole if row.part is None else 100 * row.part / longest
    return Markup(
        '<div class="row"><span class="label">{}</span>'
        '<svg class="plot" height="22" role="img" aria-label="{}"><title>{}</title>'
        '<rect x="0" y="4" width="{:.2f}%" height="14" rx="2" class="fill s{} pale"/>'
        '<rect x="0" y="4" width="{:.2f}%" height="14" rx="2" class="fill s{}"/></svg>'
        '<span class="value">{}</span></div>'
    ).format(row.label, *[f"{row.label}: {row.text}"] * 2, whole, row.series, part, row.series, row.text)


def stacked(labels: Sequence[str], series: Sequence[Series], unit: str) -> Markup:
    """Columns of stacked parts, one column a label."""
    totals = [sum(s.values[i] or 0.0 for s in series) for i in range(len(labels))]
    marks = ticks(max(totals, default=0.0))
    shown = Markup("").join(
        _block(i, len(labels), below, amount, n, marks, f"{labels[i]}, {series[n].name}: ", unit)
        for i in range(len(labels))
        for n, (below, amount) in enumerate(_heaped([one.values[i] or 0.0 for one in series]))
        if amount
    )
    names = [one.name for one in series]
    return _framed(labels, marks, shown, f"{unit} by {', '.join(names)}", unit) + legend(names)


def _heaped(amounts: Sequence[float]) -> list[tuple[float, float]]:
    """Each amount with the sum of those below it."""
    return list(zip(accumulate(amounts, initial=0.0), amounts, strict=False))


def _block(
    i: int, columns: int, below: float, amount: float, series: int, marks: list[float], name: str, unit: str
) -> Markup:
    width = min(70 / columns, 14)
    top = _y(below + amount, marks)
    return Markup(
        '<rect x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}" class="fill s{} part">'
        "<title>{}{} {}</title></rect>"
    ).format(
        _column(i, columns) - width / 2,
        top,
        width,
        _y(below, marks) - top,
        series,
        name,
        units.short(amount),
        unit,
    )


def over_nights(labels: Sequence[str], series: Sequence[Series], what: str) -> Markup:
    """Lines over nights with an interval at every point, series side by side so that whiskers do not hide."""
    ends = [end for s in series for _, end in (s.intervals or []) if end is not None]
    marks = ticks(max([*ends, *(v for s in series for v in s.values if v is not None)], default=0.0))
    shown = Markup("").join(_line(labels, one, n, len(series), marks) for n, one in enumerate(series))
    return _framed(labels, marks, shown, what, "") + legend([one.name for one in series])


def _line(labels: Sequence[str], one: Series, n: int, of: int, marks: list[float]) -> Markup:
    parts, before = [], None
    shift = (n - (of - 1) / 2) * min(2.0, 40 / (len(labels) * of))
    for i, value in enumerate(one.values):
        if value is None:
            before = None
            continue
        x, y = _column(i, len(labels)) + shift, _y(value, marks)
        if before is not None:
            parts.append(
                Markup('<line x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}" class="line s{}"/>').format(
                    *before, x, y, n
                )
            )
        low, high = one.intervals[i] if one.intervals else (None, None)
        if low is not None and high is not None:
            parts.append(
                Markup('<line x1="{:.2f}%" x2="{:.2f}%" y1="{:.1f}" y2="{:.1f}" class="thin s{}"/>').format(
                    x, x, _y(low, marks), _y(high, marks), n
                )
            )
        text = f"{one.name}, {labels[i]}: {units.metric(value)} ({units.interval(low, high)})"
        parts.append(
            Markup(
                '<circle cx="{:.2f}%" cy="{:.1f}" r="4" class="fill s{}"><title>{}</title></circle>'
            ).format(x, y, n, text)
        )
        before = (x, y)
    return Markup("").join(parts)


def legend(names: Sequence[str]) -> Markup:
    """What the colours mean."""
    keys = Markup("").join(
        Markup('<span class="key"><i class="swatch s{}"></i>{}</span>').format(n, name)
        for n, name in enumerate(names)
    )
    return Markup('<p class="legend">{}</p>').format(keys)


def _framed(labels: Sequence[str], marks: list[float], shown: Markup, what: str, unit: str) -> Markup:
    """Horizontal grid with its numbers, column labels, and what is drawn on them."""
    lines = Markup("").join(
        Markup(
            '<line x1="9%" x2="100%" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            '<text x="8%" y="{text_y:.1f}" class="tick end">{text}</text>'
        ).format(y=_y(mark, marks), text_y=_y(mark, marks) + 4, text=_tick(mark))
        for mark in marks
    )
    every = math.ceil(len(labels) / MANY)
    names = Markup("").join(
        Markup('<text x="{:.2f}%" y="{}" class="tick middle">{}</text>').format(
            _column(i, len(labels)), HEIGHT - 6, label
        )
        for i, label in enumerate(labels)
        if (len(labels) - 1 - i) % every == 0
    )
    head = Markup('<text x="9%" y="9" class="tick">{}</text>').format(unit)
    return Markup('<svg class="frame" height="{}" role="img" aria-label="{}">{}{}{}{}</svg>').format(
        HEIGHT, what, head, lines, shown, names
    )


def _scale(marks: list[float]) -> Markup:
    texts = Markup("").join(
        Markup('<text x="{}%" y="11" class="tick {}">{}</text>').format(
            _x(mark, marks), "start" if not i else "end" if mark == marks[-1] else "middle", _tick(mark)
        )
        for i, mark in enumerate(marks)
    )
    return Markup(
        '<div class="row scale"><span class="label"></span>'
        '<svg class="plot" height="15" aria-hidden="true">{}</svg><span class="value"></span></div>'
    ).format(texts)


def _grid(marks: list[float], height: int) -> Markup:
    return Markup("").join(
        Markup('<line x1="{}%" x2="{}%" y1="0" y2="{}" class="grid"/>').format(
            _x(m, marks), _x(m, marks), height
        )
        for m in marks
    )


def _tick(value: float) -> str:
    return units.short(value) if value >= 10 or value == int(value) else f"{value:g}"


def _x(value: float, marks: list[float]) -> float:
    return round(100 * min(max(value, 0.0), marks[-1]) / marks[-1], 2)


def _y(value: float, marks: list[float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * min(max(value, 0.0), marks[-1]) / marks[-1]


def _column(i: int, columns: int) -> float:
    return 9 + 91 * (i + 0.5) / columns
