"""The plot of a report: what was not read is hatched once, however many streams it concerns."""

from zoneinfo import ZoneInfo

from app.api.console.report_view import draw_traffic


def day(number: int) -> str:
    return f"2026-11-{number:02}T00:00:00Z"


def test_spans_of_several_streams_are_hatched_once_and_explained() -> None:
    report = {
        "until": day(11),
        "whole": False,
        "traffic": {"total": 10, "before": None, "series": [{"at": day(each), "count": 1} for each in range(1, 11)]},
        "delivery": {"share": None},
        "alerts": {"total": 0},
        "not_read": [{"since": day(first), "until": day(last)} for first, last in ((6, 8), (1, 3), (2, 5), (1, 2))],
    }
    drawn = draw_traffic(report, ZoneInfo("UTC"))
    assert [(span.kind, span.x, span.width) for span in drawn.spans] == [("unread", 0, 40), ("unread", 50, 20)]
    assert ("unread", "not all was read") in drawn.legend
    assert draw_traffic(report | {"not_read": []}, ZoneInfo("UTC")).legend == [("good", "logs")]
