"""Answers as a person reads them: every colour has a word or a sign beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from taximeter.operations.asking import FAIL, OK, WARN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taximeter.operations.asking import Health, Replay, Row, Verification

BARS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
BAR_WIDTH = 2
AXIS_HOURS = 4
ANOMALIES_SHOWN = 5
WAITING_SHOWN = 8

_SIGNS = {OK: "✓", WARN: "!", FAIL: "✗"}
_STYLES = {OK: "green", WARN: "yellow", FAIL: "red"}
_GRADES = {"excellent": OK, "good": OK, "fair": WARN, "poor": FAIL}
_SEVERITIES = {"critical": FAIL, "warning": WARN}


def mark(status: str, word: str | None = None) -> Text:
    return Text(f"{_SIGNS[status]} {word or status}", style=f"bold {_STYLES[status]}")


def sparkline(values: Sequence[float | None], top: float, width: int = 1) -> str:
    """A bar a value, from nothing to the top; a dot where there is nothing to show."""
    steps = len(BARS) - 1
    return "".join(
        width
        * (NOTHING if value is None else BARS[round(steps * min(value / top, 1)) if top else 0])
        for value in values
    )


def ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


# Verification ------------------------------------------------------------------------------------


def verification(answer: Verification) -> Group:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for section in answer.sections:
        count = section["anomalies"]
        name = Text(section["name"])
        if count:
            name.append(f"  {count:,} wrong", style="bold")
        table.add_row(mark(section["status"]), str(section["section"]), name)
        for line in _anomalies(section):
            table.add_row("", "", line)
    parts: list[RenderableType] = [
        _title("Verification", f"of what changed since {_minute(answer.since)}"),
        table,
    ]
    told = {
        found["command"]
        for section in answer.sections
        if isinstance(section["detail"], list)
        for found in section["detail"][:ANOMALIES_SHOWN]
    }
    rest = [item for item in answer.waiting if item["command"] not in told]
    if rest:
        parts += [Text(), *_waiting(rest, None)]
    return Group(*parts, Text(), _verdict(answer))


def _anomalies(section: Row) -> Iterable[RenderableType]:
    detail = section["detail"]
    if section["status"] == OK:
        return
    if isinstance(detail, dict):
        yield Text(_facts(detail), style="dim")
        return
    for found in detail[:ANOMALIES_SHOWN]:
        yield Text(f"{found['subject']}: {found['detail']}", style="dim")
        if found["command"]:
            yield _command(found["command"])
    more = section["anomalies"] - min(len(detail), ANOMALIES_SHOWN)
    if more > 0:
        yield Text(f"and {more:,} more", style="dim")


def _verdict(answer: Verification) -> Text:
    wrong = [section for section in answer.sections if section["status"] != OK]
    told = (
        "Everything is as it should be."
        if not wrong
        else f"{len(wrong)} of {len(answer.sections)} sections are not ok; "
        "docs/operations.md tells what each means."
    )
    return Text.assemble(mark(answer.status), " ", told)


# What waits for a person -------------------------------------------------------------------------


def _waiting(items: Sequence[Row], now: datetime | None) -> Iterable[RenderableType]:
    yield _title("Waits for a person", "paste the command into psql, after a look at the session")
    for item in items[:WAITING_SHOWN]:
        since = f"for {ago((now - item['since']).total_seconds())}" if now else ""
        yield Text.assemble(
            mark(_SEVERITIES[item["severity"]], item["severity"]),
            "  ",
            (item["kind"].replace("_", " "), "bold"),
            f"  {since or _minute(item['since'])}  ",
            (_facts(item["detail"]), "dim"),
        )
        yield _command(item["command"])
    if len(items) > WAITING_SHOWN:
        yield Text(f"and {len(items) - WAITING_SHOWN:,} more in sessions_needing_review")


def _command(command: str) -> Padding:
    return Padding(Text(command, style="cyan", overflow="fold"), (0, 0, 0, 4))


def _facts(detail: Mapping[str, Any]) -> str:
    return _pairs(
        {key: value for key, value in detail.items() if isinstance(value, str | int | float)}
    )


# Health ------------------------------------------------------------------------------------------


def health(answer: Health) -> Group:
    parts: list[RenderableType] = [_head(answer), Text(), _hours(answer), Text()]
    figures: list[RenderableType] = [
        _day(answer),
        Group(*_money(answer), _present(answer)),
        _machinery(answer),
    ]
    parts.append(Columns(figures, padding=(0, 3)))
    if answer.rates:
        parts += [Text(), *_rates(answer.rates)]
    parts.append(Text())
    parts += _waiting(answer.waiting, answer.now) if answer.waiting else [_nothing_waits()]
    return Group(*parts)


def _nothing_waits() -> Text:
    return Text.assemble(mark(OK, "nothing"), " waits for a person.")


def _head(answer: Health) -> Panel:
    alerts = ", ".join(
        f"{alert['value']} {alert['metric']}" for alert in answer.of("alerts") if alert["value"]
    )
    return Panel(
        Text.assemble(
            mark(answer.status, answer.status.upper()),
            "   score of 24 h ",
            _score(answer.metric("overall", "score_24_hours")["detail"]),
            "   this hour ",
            _score(answer.metric("overall", "score_now")["detail"]),
            f"   alerts: {alerts or 'none'}",
        ),
        title=f"[bold]Taximeter[/] {_minute(answer.now)}",
        title_align="left",
        border_style=_STYLES[answer.status],
    )


def _score(period: Row) -> Text:
    status = _GRADES[period["grade"]]
    return Text(f"{period['score']} {period['grade']}", style=f"bold {_STYLES[status]}")


def _hours(answer: Health) -> Table:
    hours = answer.hours
    ended = [int(hour["total"]) for hour in hours]
    scores = [float(hour["score"]) if hour["total"] else None for hour in hours]
    lowest = min(hours, key=lambda hour: hour["score"])
    bars = Text()
    for hour, bar in zip(hours, sparkline(scores, 100), strict=True):
        style = _STYLES[_GRADES[hour["grade"]]] if hour["total"] else "dim"
        bars.append(bar * BAR_WIDTH, style=style)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=len(hours) * BAR_WIDTH)
    table.add_column()
    table.add_row(
        Text("score", style="dim"),
        bars,
        f"lowest {lowest['score']} at {lowest['period_start'].astimezone(UTC):%H:%M}",
    )
    table.add_row(
        Text("ended", style="dim"),
        Text(sparkline([count or None for count in ended], max(ended), BAR_WIDTH), style="cyan"),
        f"{sum(ended):,}, at most {max(ended):,} an hour",
    )
    axis = "".join(
        f"{hour['period_start'].astimezone(UTC):%H:%M}".ljust(AXIS_HOURS * BAR_WIDTH)
        for hour in hours[::AXIS_HOURS]
    )
    table.add_row("", Text(axis, style="dim"), "")
    return table


def _figures(title: str, rows: Iterable[tuple[RenderableType, str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for name, value, note in rows:
        table.add_row(name, value, note)
    return table


def _day(answer: Health) -> Table:
    return _figures(
        "In 24 h",
        [
            (_marked(metric, metric["metric"].replace("_", " ")), _amount(metric), "")
            for metric in answer.of("last_24_hours")
            if metric["value"] is not None
        ],
    )


def _present(answer: Health) -> Table:
    statuses = [metric for metric in answer.of("statuses") if metric["value"]]
    return _figures(
        "Statuses",
        [(metric["metric"], _amount(metric), "") for metric in statuses] or [("none", "", "")],
    )


def _money(answer: Health) -> Iterable[Table]:
    revenue = answer.of("revenue")
    for currency in sorted({metric["detail"]["currency"] for metric in revenue}):
        yield _figures(
            f"In 24 h, {currency} minor units",
            [
                (metric["metric"].replace("_", " "), _amount(metric), "")
                for metric in revenue
                if metric["detail"]["currency"] == currency
            ],
        )


def _machinery(answer: Health) -> Table:
    rows: list[tuple[RenderableType, str, str]] = []
    for job in answer.of("jobs"):
        detail = job["detail"]
        ran = "not yet" if job["value"] is None else f"{ago(float(job['value']))} ago"
        note = detail["error"] or ("late" if detail["is_late"] else "")
        rows.append((mark(job["status"], job["metric"]), ran, note))
    rows += [
        (mark(metric["status"], f"outbox {metric['metric']}"), _amount(metric), "")
        for metric in answer.of("outbox")
    ]
    failed = [check["check_name"] for check in answer.realtime if not check["is_ok"]]
    rows.append((mark(FAIL if failed else OK, "realtime"), "", ", ".join(failed)))
    return _figures("Jobs and effects", rows)


def _marked(metric: Row, name: str) -> RenderableType:
    return name if metric["status"] == OK else mark(metric["status"], name)


def _amount(metric: Row) -> str:
    value = metric["value"]
    if metric["unit"] == "percent":
        return f"{value} %"
    return ago(float(value)) if metric["unit"] == "seconds" else f"{value:,}"


def _rates(rates: Sequence[Row]) -> Iterable[RenderableType]:
    yield _title("Rates out of bounds", "the health_* settings are the bounds")
    for rate in rates:
        detail = rate["detail"]
        of = f" of the mechanic {detail['mechanic_id']}" if "mechanic_id" in detail else ""
        yield Text.assemble(
            mark(WARN, rate["severity"]),
            "  ",
            (detail["rate"].replace("_", " ") + of, "bold"),
            f"  {detail['bps'] / 100:.1f} % of {detail['total']:,} in {detail['span']}, "
            f"the bound is {detail['limit_bps'] / 100:.1f} %",
        )


# One session -------------------------------------------------------------------------------------


def account(told: Row) -> Group:
    session = told["session"]
    head = Table.grid(padding=(0, 2, 0, 0))
    for key in ("id", "plan", "status", "end_reason", "created_at", "started_at", "ended_at"):
        value = session[key]
        shown = _second(value) if key.endswith("_at") else str(value or NOTHING)
        head.add_row(Text(key.replace("_", " "), style="dim"), shown)
    if session["billable_seconds"] is not None:
        head.add_row(
            Text("time", style="dim"),
            f"{session['billable_seconds']} s billed of {session['duration_seconds']} s, "
            f"{session['duration_minutes']} min bought",
        )
    parts: list[RenderableType] = [_title("Session", f"as it is told to: {told['for']}"), head]
    parts += [Text(), _title("What happened"), _timeline(told["timeline"])]
    if told["presence"]:
        parts += [Text(), _title("Who was there"), _presence(told["presence"])]
    if told["decision"]:
        parts += [Text(), _title("The decision"), *_decision(told["decision"])]
    parts += [Text(), _title("The money", "in minor units"), _tree(told["money"])]
    return Group(*parts)


def _timeline(events: Sequence[Row]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for event in events:
        late = ""
        if event["recorded_at"][:19] != event["at"][:19]:
            late = f"written down {_second(event['recorded_at'])}"
        table.add_row(
            Text(_second(event["at"]), style="dim"),
            Text(event["by"] or "", style="cyan"),
            event["text"],
            Text(late, style="dim"),
        )
    return table


def _presence(people: Sequence[Row]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for person in people:
        table.add_row(
            Text(person["role"], style="cyan"),
            f"joined {_second(person['first_joined_at'])}",
            f"last seen {_second(person['last_seen_at'])}",
            f"left {_second(person['left_at'])}",
        )
    return table


def _decision(decision: Row) -> Iterable[RenderableType]:
    yield Text(decision["text"] or "", style="bold")
    for name, label in (("facts", "seen"), ("rule", "by")):
        told = {key: value for key, value in (decision[name] or {}).items() if value is not None}
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(Text(label.ljust(4), style="dim"), _pairs(told))
        yield line


def _tree(value: Mapping[str, Any]) -> Table:
    """An account of any shape: names on the left, what is known on the right."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for key, entry in value.items():
        if entry is None or entry == [] or entry == {}:
            continue
        name = Text(_name(key), style="dim")
        if isinstance(entry, dict):
            table.add_row(name, _tree(entry))
        elif isinstance(entry, list):
            table.add_row(name, Group(*(_entry(item) for item in entry)))
        else:
            table.add_row(name, _value(key, entry))
    return table


def _entry(item: Row) -> RenderableType:
    inner = {key: value for key, value in item.items() if isinstance(value, dict)}
    outer = Text(_pairs({key: value for key, value in item.items() if key not in inner}))
    if not inner:
        return outer
    lines = [
        Text(f"{cents:>+10,}  {account}")
        for accounts in inner.values()
        for account, cents in accounts.items()
        if isinstance(cents, int)
    ]
    return Group(outer, *lines)


def _pairs(told: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{_name(key)} {_value(key, value)}" for key, value in told.items() if value is not None
    )


def _name(key: str) -> str:
    return key.removesuffix("_cents").replace("_", " ")


def _value(key: str, value: Any) -> str:
    if isinstance(value, str) and (key == "at" or key.endswith("_at")):
        return _second(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


# Replay ------------------------------------------------------------------------------------------


def replay(answer: Replay) -> Group:
    table = Table("", "its events say", "its row says", box=None, padding=(0, 2, 0, 0))
    difference = answer.difference or {}
    for key, value in answer.replay.items():
        other = difference.get(key)
        table.add_row(
            Text(key, style="dim"),
            _plain(value),
            mark(FAIL, _plain(other["row"])) if isinstance(other, dict) else "",
        )
    same = answer.difference is None
    told = "The row is what its events say." if same else "The row is not what its events say."
    notes = [f"{key}: {value}" for key, value in difference.items() if not isinstance(value, dict)]
    return Group(table, Text(), Text.assemble(mark(OK if same else FAIL), " ", told, *notes))


def replays(differences: Sequence[Row]) -> Group:
    if not differences:
        return Group(Text.assemble(mark(OK), " Every row is what its events say."))
    lines: list[RenderableType] = []
    for found in differences:
        lines.append(Text(str(found["session_id"]), style="bold"))
        for key, value in found["difference"].items():
            said = (
                f"the row says {_plain(value['row'])}, its events {_plain(value['replay'])}"
                if isinstance(value, dict)
                else str(value)
            )
            lines.append(Padding(Text(f"{key}: {said}"), (0, 0, 0, 2)))
    told = f" {len(differences):,} sessions are not what their events say."
    return Group(*lines, Text(), Text.assemble(mark(FAIL), told))


# Small things ------------------------------------------------------------------------------------


def _title(title: str, note: str = "") -> Text:
    return Text.from_markup(f"[bold]{escape(title)}[/]  [dim]{escape(note)}[/]".rstrip())


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return _second(value.isoformat())
    return NOTHING if value is None else str(value)


def _minute(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _second(value: str | None) -> str:
    if value is None:
        return NOTHING
    at = datetime.fromisoformat(value).astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}"
