"""docs/images/finding-the-limit.svg: a simulated run that finds a limit of 600 requests a minute, which halves
and comes back. python -m bench.picture"""

from pathlib import Path

from tests.engine.simulation import Simulation, TokenBucket

ROOT = Path(__file__).parent.parent
SCHEDULE = ((10, 60), (5, 60), (10, 60))  # (requests a second, seconds)
WIDTH, HEIGHT, LEFT, TOP = 860, 300, 50, 30
MOST = 16  # requests a second at the top
STEP_S = 2


def main() -> None:
    (ROOT / "docs" / "images" / "finding-the-limit.svg").write_text(_svg(*_run()))


def _run():
    bucket = TokenBucket(10, 20)
    simulation = Simulation(bucket)
    limit, admitted, refused, learned = [], [], [], []
    for rate, seconds in SCHEDULE:
        bucket.rate, bucket.capacity = rate, 2 * rate
        for _ in range(seconds // STEP_S):
            good, bad = simulation.run(STEP_S)
            limit.append(rate)
            admitted.append(good / STEP_S)
            refused.append(bad)
            learned.append((simulation.governor.state().rpm_learned or 0) / 60)
    return limit, admitted, refused, learned


def _svg(limit, admitted, refused, learned) -> str:
    count = len(limit)
    dx = (WIDTH - LEFT - 10) / count
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + TOP + 40}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for value in range(0, MOST + 1, 5):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{_y(value)}" y2="{_y(value)}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{_y(value) + 4}" text-anchor="end">{value}</text>'
        )
    for second in range(0, count * STEP_S + 1, 30):
        x = LEFT + second / STEP_S * dx
        parts.append(
            f'<text x="{x:.0f}" y="{HEIGHT + TOP + 16}" text-anchor="middle">{second} s</text>'
        )
    for n, value in enumerate(admitted):
        x, y = LEFT + n * dx, _y(min(value, MOST))
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{dx - 1:.1f}" height="{_y(0) - y:.1f}" '
            'fill="#9ec5fe"/>'
        )
        for k in range(refused[n]):
            parts.append(
                f'<circle cx="{x + dx / 2:.1f}" cy="{TOP + 6 + 6 * k}" r="2.5" fill="#dc3545"/>'
            )
    parts.append(_line(limit, dx, "#198754", "6 4"))
    parts.append(_line(learned, dx, "#212529", ""))
    legend = (
        ("#9ec5fe", "admitted, requests a second"),
        ("#dc3545", "a refused call"),
        ("#198754", "the provider's limit"),
        ("#212529", "the learned rate"),
    )
    for n, (colour, text) in enumerate(legend):
        x = LEFT + n * 205
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="18">{text}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _y(value: float) -> float:
    return TOP + HEIGHT * (1 - value / MOST)


def _line(values, dx: float, colour: str, dashes: str) -> str:
    points = []
    for n, value in enumerate(values):
        if value:
            y = _y(min(value, MOST))
            points += [f"{LEFT + n * dx:.1f},{y:.1f}", f"{LEFT + (n + 1) * dx:.1f},{y:.1f}"]
    return (
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dashes}"/>'
    )


if __name__ == "__main__":
    main()
