"""Small plots as inline SVG: nothing is loaded, everything carries its numbers as a tooltip."""

from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 260, 44, 34, 12
COLOURS = ("#0b6bcb", "#c2410c")
Series = list[tuple[float, float]]


def _frame(title: str, x_label: str, y_label: str, body: str, ticks: str) -> str:
    right, floor = WIDTH - 10, HEIGHT - BOTTOM
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<path d="M{LEFT} {TOP}V{floor}H{right}" class="axis"/>{ticks}{body}'
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="12" y="{floor / 2}" text-anchor="middle" transform="rotate(-90 12 {floor / 2})">'
        f"{escape(y_label)}</text>"
        "</svg>"
    )


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - 10 - LEFT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _share_ticks(top: float = 1.0, form: str = "{:.0%}") -> str:
    steps = (0, 0.25, 0.5, 0.75, 1)
    return "".join(
        f'<text x="{LEFT - 4}" y="{_y(s) + 4:.1f}" text-anchor="end">{form.format(s * top)}</text>' for s in steps
    )


def curves(title: str, series: list[Series], x_label: str, y_label: str) -> str:
    """Lines through points whose coordinates are shares."""
    body = ""
    for colour, points in zip(COLOURS, series, strict=False):
        line = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
        body += f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        body += "".join(
            f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="3" fill="{colour}"><title>{x:.1%}, {y:.1%}</title></circle>'
            for x, y in points
        )
    below = "".join(
        f'<text x="{_x(s):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{s:.0%}</text>' for s in (0, 0.5, 1)
    )
    return _frame(title, x_label, y_label, body, _share_ticks() + below)


def stacked(title: str, bars: list[tuple[str, int, int]], x_label: str, y_label: str) -> str:
    """Bars of (name, good part, other part)."""
    top = max((good + other for _, good, other in bars), default=0) or 1
    wide = (WIDTH - 10 - LEFT) / max(len(bars), 1)
    body = ""
    for number, (name, good, other) in enumerate(bars):
        x, all_of_it, part = LEFT + number * wide, (good + other) / top, good / top
        tip = f"<title>{escape(name)}: {good:,} right, {other:,} false</title>"
        for share, colour in ((all_of_it, "#cbd5e1"), (part, COLOURS[0])):
            height = _y(0) - _y(share)
            body += (
                f'<rect x="{x:.1f}" y="{_y(share):.1f}" width="{max(wide - 1, 0.5):.1f}" height="{height:.1f}" '
                f'fill="{colour}">{tip}</rect>'
            )
    ends = ""
    if bars:
        ends = f'<text x="{LEFT}" y="{HEIGHT - BOTTOM + 14}">{escape(bars[0][0])}</text>'
        ends += f'<text x="{WIDTH - 10}" y="{HEIGHT - BOTTOM + 14}" text-anchor="end">{escape(bars[-1][0])}</text>'
    return _frame(title, x_label, y_label, body, _share_ticks(top, "{:,.0f}") + ends)
