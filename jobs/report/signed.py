"""Pictures about zero: what is better or worse than something else, and one measure against another."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jobs.report import units
from jobs.report.charts import Estimate, ticks

SIZE = 300
LEFT, BOTTOM, TOP = 12, 34, 10


@dataclass(frozen=True)
class Point:
    """A named point of a scatter plot; series picks the colour."""

    label: str
    x: float
    y: float
    series: int = 0


@dataclass(frozen=True)
class Scale:
    """Round numbers below and above zero, as far as the values go."""

    marks: list[float]

    @classmethod
    def over(cls, values: Sequence[float], about: int = 4) -> "Scale":
        """A scale that holds zero and every value."""
        most = max((abs(value) for value in values), default=0.0)
        step = (marks := ticks(most, about))[1] - marks[0]
        down = max((-value for value in values), default=0.0)
        up = max(values, default=0.0)
        first, last = -_steps(down, step), max(_steps(up, step), 1)
        return cls([n * step for n in range(first, last + 1)])

    def at(self, value: float) -> float:
        """Where a value lies between the ends: 0 to 1."""
        first, last = self.marks[0], self.marks[-1]
        return (min(max(value, first), last) - first) / (last - first)


def _steps(distance: float, step: float) -> int:
    return max(0, -int(-(distance / step - 1e-9) // 1))


def estimates(rows: Sequence[Estimate]) -> Markup:
    """Points with whiskers on one scale, zero a line of its own."""
    ends = [end for row in rows for end in (row.low, row.value, row.high) if end is not None]
    scale = Scale.over(ends)
    lines = Markup("").join(_row(row, scale) for row in rows)
    return Markup('<div class="rows signed">{}{}</div>').format(lines, _numbers(scale))


def _row(row: Estimate, scale: Scale) -> Markup:
    whisker = Markup("")
    if row.low is not None and row.high is not None:
        low, high = _percent(scale, row.low), _percent(scale, row.high)
        whisker = Markup(
            '<line x1="{0}%" x2="{1}%" y1="11" y2="11" class="whisker"/>'
            '<line x1="{0}%" x2="{0}%" y1="6" y2="16" class="whisker"/>'
            '<line x1="{1}%" x2="{1}%" y1="6" y2="16" class="whisker"/>'
        ).format(low, high)
    value, ends = units.lift(row.value), units.lift_interval(row.low, row.high)
    grid = Markup("").join(
        Markup('<line x1="{0}%" x2="{0}%" y1="0" y2="22" class="{1}"/>').format(
            _percent(scale, mark), "zero" if abs(mark) < 1e-12 else "grid"
        )
        for mark in scale.marks
    )
    return Markup(
        '<div class="row{}"><span class="label">{}</span>'
        '<svg class="plot" height="22" role="img" aria-label="{}"><title>{}</title>{}{}'
        '<circle cx="{}%" cy="11" r="5" class="point"/></svg>'
        '<span class="value"><b>{}</b> <small>{}</small></span></div>'
    ).format(
        " strong" if row.strong else " under",
        row.label,
        *[f"{row.label}: {value}, 95% interval {ends}"] * 2,
        grid,
        whisker,
        _percent(scale, row.value),
        value,
        ends,
    )


def _numbers(scale: Scale) -> Markup:
    texts = Markup("").join(
        Markup('<text x="{}%" y="11" class="tick middle">{}</text>').format(
            _percent(scale, mark), _text(mark)
        )
        for mark in scale.marks
    )
    return Markup(
        '<div class="row scale"><span class="label"></span>'
        '<svg class="plot" height="15" aria-hidden="true">{}</svg><span class="value"></span></div>'
    ).format(texts)


def scatter(points: Sequence[Point], x_name: str, y_name: str) -> Markup:
    """One measure against another, every point with its name."""
    across, up = Scale.over([point.x for point in points]), Scale.over([point.y for point in points])
    grid = Markup("").join(
        Markup(
            '<line x1="{left}%" x2="98%" y1="{y:.1f}" y2="{y:.1f}" class="{kind}"/>'
            '<text x="{text}%" y="{text_y:.1f}" class="tick end">{name}</text>'
        ).format(
            left=LEFT,
            y=_y(up, mark),
            kind="zero" if abs(mark) < 1e-12 else "grid",
            text=LEFT - 1,
            text_y=_y(up, mark) + 4,
            name=_text(mark),
        )
        for mark in up.marks
    )
    names = Markup("").join(
        Markup('<text x="{}%" y="{}" class="tick middle">{}</text>').format(
            _x(across, mark), SIZE - BOTTOM + 15, _text(mark)
        )
        for mark in across.marks
    )
    shown = Markup("").join(_point(point, across, up) for point in points)
    titles = Markup(
        '<text x="55%" y="{}" class="tick middle">{} →</text><text x="{}%" y="8" class="tick">↑ {}</text>'
    ).format(SIZE - 4, x_name, LEFT, y_name)
    return Markup('<svg class="frame" height="{}" role="img" aria-label="{} against {}">{}</svg>').format(
        SIZE, y_name, x_name, grid + names + titles + shown
    )


def _point(point: Point, across: Scale, up: Scale) -> Markup:
    x, y = _x(across, point.x), _y(up, point.y)
    # A name that would run out of the frame stands on the other side of its point.
    side, offset = ("end", -8) if x > 70 else ("start", 8)
    text = f"{point.label}: {units.metric(point.x)}, {units.metric(point.y, signed=True)}"
    return Markup(
        '<circle cx="{x:.2f}%" cy="{y:.1f}" r="5" class="fill s{n}"><title>{text}</title></circle>'
        '<text x="{x:.2f}%" dx="{dx}" y="{text_y:.1f}" class="tick named {side}">{label}</text>'
    ).format(x=x, y=y, n=point.series, text=text, dx=offset, text_y=y + 4, side=side, label=point.label)


def _percent(scale: Scale, value: float) -> float:
    return round(2 + 96 * scale.at(value), 2)


def _x(scale: Scale, value: float) -> float:
    return LEFT + (98 - LEFT) * scale.at(value)


def _y(scale: Scale, value: float) -> float:
    return SIZE - BOTTOM - (SIZE - BOTTOM - TOP) * scale.at(value)


def _text(mark: float) -> str:
    return f"{mark:g}".replace("-", units.MINUS) if abs(mark) > 1e-12 else "0"
