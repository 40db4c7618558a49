"""The rates as one SVG, legible on light and dark pages."""

from html import escape
from statistics import median

from bench.contest import Contestant, Results
from bench.report import HOME, RATES

WIDTH, LABEL, NUMBER = 720, 210, 80
BAR, GAP, TITLE = 14, 6, 34

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.peer { fill: #9aa5b1 } .ours { fill: #2f7d5b }
@media (prefers-color-scheme: dark) {
  text { fill: #d7dde4 } .peer { fill: #5d6875 } .ours { fill: #57b68b }
}
"""


def svg(results: Results) -> str:
    """Return a bar chart of the medians, a panel for each rate."""
    parts: list[str] = []
    top = 4
    for measure, title in RATES.items():
        measured = results.measured.get(measure)
        if measured:
            parts.append(_panel(title, measured, top))
            top += TITLE + len(measured) * (BAR + GAP) + 10
    told = "Tasks per second of each queue; the tables beside it have the numbers"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'role="img" aria-label="{told}">\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panel(title: str, measured: dict[Contestant, list[float]], top: int) -> str:
    rates = {contestant: median(answers) for contestant, answers in measured.items()}
    longest = max(rates.values())
    room = WIDTH - LABEL - NUMBER
    lines = [f'<text class="title" x="0" y="{top + 18}">{escape(title)}, tasks/s</text>']
    ranked = sorted(rates.items(), key=lambda item: -item[1])
    for place, (contestant, rate) in enumerate(ranked):
        y = top + TITLE + place * (BAR + GAP)
        width = max(1.0, rate / longest * room)
        size = f'width="{width:.1f}" height="{BAR}"'
        kind = "ours" if contestant.module == "errands" else "peer"
        label = escape(f"{contestant.name} · {HOME[contestant.engine]}")
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 11}" text-anchor="end">{label}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{y}" {size}/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 11}">{rate:,.0f}</text>',
        ]
    return "\n".join(lines)
