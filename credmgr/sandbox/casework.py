"""Cases and SARs: the two things that people work on."""

from collections.abc import Mapping
from typing import Any, Final

from credmgr.sandbox.database import stamp
from credmgr.sandbox.fields import Shape, Text
from credmgr.sandbox.operation import Answer, Call, Filters, Operation

STATUSES: Final = ("open", "in_review", "escalated", "closed")
PRIORITIES: Final = ("low", "medium", "high", "critical")
RESOLUTIONS: Final = ("false_positive", "sar_filed", "no_action", "account_exited")
SAR_STATUSES: Final = ("draft", "in_review", "filed")
_STILL_OPEN: Final = STATUSES[:-1]
_CASES: Final = "cases"
_HISTORIES: Final = "case_histories"
_SARS: Final = "sars"
_CASE_FILTERS: Final[Filters] = {
    "status": STATUSES,
    "priority": PRIORITIES,
    "assignee": (),
    "subject_id": (),
}
_SAR_FILTERS: Final[Filters] = {"status": SAR_STATUSES, "case_id": ()}
_CASE: Final[Shape] = {
    "title": Text(shortest=1),
    "subject_id": Text(shortest=1, longest=64),
    "priority": Text(choices=PRIORITIES, default="medium"),
    "summary": Text(default="", longest=5000, lines=True),
}
_CASE_CHANGES: Final[Shape] = {
    "title": Text(shortest=1),
    "priority": Text(choices=PRIORITIES),
    "summary": Text(longest=5000, lines=True),
    "status": Text(choices=_STILL_OPEN),
}
_ASSIGNMENT: Final[Shape] = {"assignee": Text(shortest=1, longest=100)}
_CLOSING: Final[Shape] = {
    "resolution": Text(choices=RESOLUTIONS),
    "note": Text(default="", longest=5000, lines=True),
}
_SAR: Final[Shape] = {
    "case_id": Text(shortest=1, longest=64),
    "narrative": Text(shortest=1, longest=20_000, lines=True),
    "activity_type": Text(default="unspecified", longest=100),
}


def _list_cases(call: Call) -> Answer:
    return call.page(_CASES, _CASE_FILTERS)


def _get_case(call: Call) -> Answer:
    return Answer(call.get(_CASES))


def _case_history(call: Call) -> Answer:
    return Answer({"items": call.get(_HISTORIES)["steps"], "next_cursor": None})


def _create_case(call: Call) -> Answer:
    values = call.fields(_CASE)
    call.records.get("subjects", values["subject_id"])
    more = {"status": "open", "assignee": None, "resolution": None, "closed_at": None}
    answer = call.create(_CASES, "case", {**values, **more})
    steps = [_step(call, "created")]
    call.records.put(_HISTORIES, {"id": answer.shown["id"], "steps": steps})
    return answer


def _update_case(call: Call) -> Answer:
    return _change(call, "updated", call.fields(_CASE_CHANGES, partial=True))


def _assign_case(call: Call) -> Answer:
    return _change(call, "assigned", call.fields(_ASSIGNMENT))


def _close_case(call: Call) -> Answer:
    values = call.fields(_CLOSING)
    closed = {"status": "closed", "resolution": values["resolution"], "closed_at": stamp(call.now)}
    return _change(call, "closed", closed, note=values["note"])


def _change(call: Call, what: str, changes: Mapping[str, Any], note: str = "") -> Answer:
    """Change an open case and write it into its history."""
    call.must_be(call.get(_CASES), *_STILL_OPEN)
    history = call.get(_HISTORIES)
    call.records.put(_HISTORIES, {**history, "steps": [*history["steps"], _step(call, what, note)]})
    return call.update(_CASES, changes)


def _step(call: Call, what: str, note: str = "") -> dict[str, str]:
    return {"time": stamp(call.now), "what": what, "by": call.caller.who.credential, "note": note}


def _list_sars(call: Call) -> Answer:
    return call.page(_SARS, _SAR_FILTERS)


def _get_sar(call: Call) -> Answer:
    return Answer(call.get(_SARS))


def _draft_sar(call: Call) -> Answer:
    values = call.fields(_SAR)
    case = call.records.get(_CASES, values["case_id"])
    more = {"subject_id": case["subject_id"], "status": "draft", "submitted_at": None}
    return call.create(_SARS, "sar", {**values, **more})


def _submit_sar(call: Call) -> Answer:
    call.must_be(call.get(_SARS), "draft")
    return call.update(_SARS, {"status": "in_review", "submitted_at": stamp(call.now)})


OPERATIONS: Final = (
    Operation("GET", "/cases", "cases:read", _list_cases),
    Operation("GET", "/cases/{id}", "cases:read", _get_case),
    Operation("GET", "/cases/{id}/history", "cases:read", _case_history),
    Operation("POST", "/cases", "cases:write", _create_case),
    Operation("PATCH", "/cases/{id}", "cases:write", _update_case),
    Operation("POST", "/cases/{id}/assign", "cases:write", _assign_case),
    Operation("POST", "/cases/{id}/close", "cases:write", _close_case),
    Operation("GET", "/sars", "sar:read", _list_sars),
    Operation("GET", "/sars/{id}", "sar:read", _get_sar),
    Operation("POST", "/sars", "sar:write", _draft_sar),
    Operation("POST", "/sars/{id}/submit", "sar:write", _submit_sar),
)
