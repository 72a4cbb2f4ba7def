"""The size of the transactions of a long change."""

import time

from simple_batch.store import write_pace
from simple_batch.store.models import database
from simple_batch.store.write_pace import Pace


def test_a_change_on_a_busy_machine_does_not_go_on_row_by_row(db):
    with Pace(20) as pace:
        for _ in range(4):
            pace.step(time.sleep, 0.15)  # however few rows it has
    assert pace.rows == (write_pace.SERVER_MIN_ROWS if database.server else write_pace.MIN_ROWS) > 1


def test_a_server_that_answers_slowly_gets_more_rows_at_a_time(db):
    with Pace(20) as pace:
        for _ in range(2):
            pace.step(time.sleep, 0.03)
    assert pace.rows > 20 if database.server else pace.rows < 20
