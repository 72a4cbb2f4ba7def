"""How large the automaton of a pattern may become: what compiling and matching it costs."""

import msgspec

_CLASS = 40  # states of a class of Unicode, \\w or \\p{L}, as it is compiled
_PASSED = 3  # of those how many a match looks at
_BASE = 60  # what a pattern costs however short it is
_MAX = 1_000_000_000  # beyond which it makes no difference


class Size(msgspec.Struct):
    """``built``: states that are compiled; ``passed``: those that a match may look at for each
    character. Estimates: at least what the engine makes, but for optional parts left out."""

    built: int = 0
    passed: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(min(self.built + other.built, _MAX), min(self.passed + other.passed, _MAX))

    def __mul__(self, times: int) -> "Size":
        return Size(min(self.built * times, _MAX), min(self.passed * times, _MAX))


def size_of(pattern: str) -> Size:
    """A pattern with its counted repeats (``{2,5}``) written out. In linear time; what is no pattern
    has some size too."""
    groups, last = [Size(_BASE, 1)], Size()
    position = 0
    while position < len(pattern):
        char, step = pattern[position], 1
        if char == "(":
            groups.append(Size())
            last = Size()
        elif char == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif char == "{" and (counted := _repeats(pattern, position)):
            times, step = counted
            groups[-1] += last * (times - 1)
            last *= times
        else:
            last, step = _atom(pattern, position)
            groups[-1] += last
        position += step
    return sum(groups[1:], groups[0])


def _atom(pattern: str, position: int) -> tuple[Size, int]:
    """One character or class, and how many characters it is written with."""
    char = pattern[position]
    if char == "\\":
        special = pattern[position + 1 : position + 2]
        return (Size(_CLASS, _PASSED) if special in "wWdDsSbBpP" else Size(1, 1)), 2
    if char == "[":
        end = position + 2
        while end < len(pattern) and pattern[end] != "]":
            end += 2 if pattern[end] == "\\" else 1
        inside = pattern[position + 1 : end]
        wide = 1 + inside.count("\\") + inside.startswith("^")
        return Size(min(len(inside), 20) + _CLASS * (wide - 1), _PASSED), end + 1 - position
    return (Size(10, _PASSED) if char == "." else Size(1, 1)), 1


def _repeats(pattern: str, position: int) -> tuple[int, int] | None:
    """How often at most ``{2,5}`` repeats what is before it, and its length; None where it is text."""
    end = pattern.find("}", position, position + 24)
    least, comma, greatest = pattern[position + 1 : end].partition(",") if end > 0 else ("", "", "")
    if not (least.isdecimal() and (not greatest or greatest.isdecimal())):
        return None
    times = max(int(least), int(greatest or 0)) + (1 if comma and not greatest else 0)
    return min(max(times, 1), _MAX), end + 1 - position
