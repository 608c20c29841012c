"""The direct lane's figures: a row a second of `stream_progress`, however many batches that was."""

from spark_jobs.direct.lane import Figures


def test_batches_of_a_second_are_one_row() -> None:
    now = [100.0]
    figures = Figures(clock=lambda: now[0])
    figures.add(1, 0.010)
    figures.tell(0, lambda: 0)
    for batch in (1, 2, 3):
        now[0] += 0.3
        figures.add(10, 0.010 * batch)
        figures.tell(batch, lambda: 7)
    assert len(figures.kept) == 1, "no second has passed since the first row"
    now[0] += 0.2
    figures.tell(3, lambda: 7)
    _, row = figures.kept
    assert (row.batch_id, row.input_rows, row.batch_ms, row.lag_rows) == (3, 30, 30.0, 7)
    assert round(row.rows_per_second) == 500
    now[0] += 5.0
    figures.tell(3, lambda: 0)
    assert len(figures.kept) == 2, "nothing came, so there is nothing to tell"


def test_the_last_figures_do_not_wait() -> None:
    figures = Figures(clock=lambda: 100.0)
    figures.add(1, 0.010)
    figures.tell(0, lambda: None)
    figures.add(2, 0.010)
    figures.tell(1, lambda: None, at_once=True)
    assert [row.input_rows for row in figures.kept] == [1, 2]
