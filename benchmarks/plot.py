"""A scenario's outcome as a small SVG: a bar for each server, a whisker for the quartiles.

Where memory was watched, its course is drawn below, from zero, with the middle marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.outcome import Outcome, figure

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TITLE = 720, 150, 110, 18, 6, 30
_COURSE = 150
_OURS, _OTHERS, _INK = "#0b7285", "#adb5bd", "#343a40"


def plot(title: str, outcomes: Sequence[Outcome]) -> str:
    """:return: the text of an SVG file."""
    body: list[str] = []
    y = 28
    for outcome in outcomes:
        if not outcome.measured():
            continue
        y += _TITLE
        direction = "less is better" if outcome.lower else "more is better"
        body.append(
            f'<text x="10" y="{y - 8}" font-weight="bold">{escape(outcome.name)}'
            f' <tspan font-weight="normal">({escape(outcome.unit)}, {direction})</tspan></text>'
        )
        largest = max(outcome.quartiles(peer)[1] for peer in outcome.measured())
        room = (_WIDTH - _LEFT - _RIGHT) / (largest or 1)
        for peer in outcome.measured():
            median = outcome.median(peer)
            low, high = outcome.quartiles(peer)
            colour = _OURS if peer.startswith("takotwist") else _OTHERS
            middle = y + _BAR / 2
            body += [
                f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(peer)}</text>',
                f'<rect x="{_LEFT}" y="{y}" width="{median * room:.1f}" height="{_BAR}"'
                f' fill="{colour}"/>',
                f'<path d="M{_LEFT + low * room:.1f} {middle}H{_LEFT + high * room:.1f}"'
                f' stroke="{_INK}" stroke-width="2"/>',
                f'<text x="{_LEFT + max(median, high) * room + 6:.1f}" y="{middle + 4}">'
                f"{figure(median)}</text>",
            ]
            y += _BAR + _GAP
        for peer, rounds in outcome.memory.items():
            for course in rounds:
                body += _course(peer, course, y + _TITLE)
                y += _TITLE + _COURSE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 12}"'
        f' font-family="sans-serif" font-size="12" fill="{_INK}">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="20" font-size="15" font-weight="bold">{escape(title)}</text>'
        + "".join(body)
        + "</svg>\n"
    )


def _course(peer: str, course: Sequence[Sequence[float]], top: float) -> list[str]:
    """One server's memory over time, in a box of `_COURSE` below `top`."""
    most, last = max(held for _, held in course), course[-1][0] or 1
    across, up = (_WIDTH - _LEFT - _RIGHT) / last, (_COURSE - 2 * _GAP) / (most or 1)
    bottom, right = top + _COURSE - 2 * _GAP, _WIDTH - _RIGHT
    points = " ".join(
        f"{_LEFT + when * across:.1f},{bottom - held * up:.1f}" for when, held in course
    )
    middle = (_LEFT + right) / 2
    return [
        f'<text x="{_LEFT - 8}" y="{top + 4}" text-anchor="end">{escape(peer)}, MB</text>',
        f'<text x="{right + 6}" y="{top + 4}">{figure(most / 1e6)} at most</text>',
        f'<text x="{right + 6}" y="{bottom + 4}">0; {last:,.0f} s</text>',
        f'<path d="M{_LEFT} {top}V{bottom}H{right}M{middle} {top}V{bottom}" fill="none"'
        f' stroke="{_OTHERS}"/>',
        f'<polyline points="{points}" fill="none" stroke="{_OURS}" stroke-width="1.5"/>',
    ]
