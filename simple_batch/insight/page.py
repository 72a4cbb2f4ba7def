"""A page of rows."""

import msgspec


class Page(msgspec.Struct):
    """``total`` is a lower bound where ``exact`` is false. ``continue_from`` is where a search that
    stopped at its limit goes on, None where it reached the end."""

    rows: list[dict]
    page: int
    per_page: int
    total: int
    exact: bool = True
    continue_from: int | None = None

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))
