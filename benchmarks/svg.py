"""Line charts as SVG, one below the other over one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

Point = tuple[float, float]

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 860, 250, 70, 150, 40, 40
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, PANEL - TOP - BOTTOM
COLOURS = ("#1f6feb", "#d1600f", "#2a8a43", "#8a3ab9", "#b3261e", "#5f6b76")
TICKS = 5


@dataclass(frozen=True)
class Chart:
    """`series` are points (seconds, value) by name; y begins at zero. `limit` is drawn as a dashed line."""

    title: str
    unit: str
    series: dict[str, Sequence[Point]]
    limit: float | None = None


def render(charts: Sequence[Chart]) -> str:
    height = PANEL * len(charts)
    seconds = max((at for chart in charts for points in chart.series.values() for at, _ in points), default=1.0)
    panels = "\n".join(_panel(chart, number * PANEL, seconds) for number, chart in enumerate(charts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n{panels}\n</svg>\n'
    )


def _panel(chart: Chart, top: float, seconds: float) -> str:
    highest = max((value for points in chart.series.values() for _, value in points), default=1.0)
    step = nice_step(max(highest, chart.limit or 0.0, 1e-9))
    most = step * TICKS

    def x(at: float) -> float:
        return round(LEFT + PLOT_WIDTH * at / max(seconds, 1e-9), 1)

    def y(value: float) -> float:
        return round(top + TOP + PLOT_HEIGHT * (1 - value / most), 1)

    parts = [f'<text x="{LEFT}" y="{top + 22}" font-size="14">{escape(chart.title)} ({escape(chart.unit)})</text>']
    for tick in range(TICKS + 1):
        value, right = step * tick, WIDTH - RIGHT
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{y(value)}" y2="{y(value)}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:,g}</text>')
    time_step = nice_step(seconds)
    for tick in range(int(seconds / time_step) + 1):
        parts.append(
            f'<text x="{x(tick * time_step)}" y="{top + PANEL - BOTTOM + 16}" text-anchor="middle">'
            f"{tick * time_step:g} s</text>"
        )
    if chart.limit is not None:
        parts.append(
            _line([(x(0), y(chart.limit)), (x(seconds), y(chart.limit))], "#b3261e", ' stroke-dasharray="6 4"')
        )
    for number, (name, points) in enumerate(chart.series.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(_line([(x(at), y(value)) for at, value in points], colour))
        legend = top + TOP + 12 + number * 18
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{legend}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(parts)


def _line(points: Sequence[Point], colour: str, more: str = "") -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{path}"{more}/>'


def nice_step(highest: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that reaches `highest` in so many ticks."""
    wanted = highest / TICKS
    power = 10.0 ** floor(log10(wanted))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= wanted * 0.999)
