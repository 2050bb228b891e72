"""Watchlist, subjects, transactions and alerts: what cases are made from."""

from collections.abc import Mapping
from datetime import timedelta
from difflib import SequenceMatcher
from typing import Any, Final

from credmgr.sandbox.database import stamp
from credmgr.sandbox.fields import AnyOf, Number, Shape, Text
from credmgr.sandbox.operation import Answer, Call, Filters, Operation

SUBJECT_KINDS: Final = ("person", "organisation")
LISTS: Final = ("internal", "sanctions", "pep", "adverse_media")
SEVERITIES: Final = ("low", "medium", "high")
_WATCHLIST: Final = "watchlist_entries"
_SUBJECTS: Final = "subjects"
_TRANSACTIONS: Final = "transactions"
_ALERTS: Final = "alerts"
_GOOD_MATCH: Final = 0.75
_ENTRY: Final[Shape] = {
    "name": Text(shortest=1),
    "list": Text(choices=LISTS, default="internal"),
    "country": Text(shortest=2, longest=2),
    "reason": Text(default="", longest=1000),
}
_SCREENING: Final[Shape] = {
    "name": Text(shortest=1),
    "threshold": Number(default=_GOOD_MATCH, most=1),
}
_SUBJECT: Final[Shape] = {
    "name": Text(shortest=1),
    "kind": Text(choices=SUBJECT_KINDS),
    "country": Text(shortest=2, longest=2),
    "risk_score": Number(default=0, whole=True, most=100),
}
_SEARCH: Final[Shape] = {
    "subject_id": AnyOf(rules=(Text(longest=64),)),
    "counterparty": AnyOf(rules=(Text(),)),
    "least_amount": AnyOf(rules=(Number(),)),
    "limit": Number(default=50, whole=True, least=1, most=1000),
}
_TRANSACTION_FILTERS: Final[Filters] = {"subject_id": (), "direction": ("in", "out")}
_ALERT_FILTERS: Final[Filters] = {"severity": SEVERITIES, "subject_id": (), "rule": ()}


def _list_entries(call: Call) -> Answer:
    return call.page(_WATCHLIST, {"list": LISTS, "country": ()})


def _get_entry(call: Call) -> Answer:
    return Answer(call.get(_WATCHLIST))


def _screen(call: Call) -> Answer:
    """Compare a name with every entry; the best matches first."""
    wanted = call.fields(_SCREENING)
    scored = [
        (_likeness(wanted["name"], e.body["name"]), e.body) for e in call.records.all(_WATCHLIST)
    ]
    matches = [
        {"entry": entry, "score": round(score, 3)}
        for score, entry in sorted(scored, key=lambda pair: -pair[0])
        if score >= wanted["threshold"]
    ]
    result = "possible_match" if matches else "clear"
    body = {"name": wanted["name"], "result": result, "matches": matches}
    return Answer({**body, "screened_at": stamp(call.now)})


def _likeness(one: str, other: str) -> float:
    """How alike two names are, 0 to 1, whatever the order of their parts."""
    first, second = (" ".join(sorted(name.casefold().split())) for name in (one, other))
    return SequenceMatcher(None, first, second).ratio()


def _add_entry(call: Call) -> Answer:
    return call.create(_WATCHLIST, "wl", call.fields(_ENTRY))


def _update_entry(call: Call) -> Answer:
    return call.update(_WATCHLIST, call.fields(_ENTRY, partial=True))


def _remove_entry(call: Call) -> Answer:
    call.records.delete(_WATCHLIST, call.path["id"])
    return Answer({}, status=204)


def _list_subjects(call: Call) -> Answer:
    return call.page(_SUBJECTS, {"kind": SUBJECT_KINDS, "country": ()})


def _get_subject(call: Call) -> Answer:
    return Answer(call.get(_SUBJECTS))


def _subject_risk(call: Call) -> Answer:
    """The score, and the alerts that it comes from."""
    subject = call.get(_SUBJECTS)
    alerts = [
        record.body for record in call.records.all(_ALERTS) if _concerns(record.body, subject)
    ]
    valid_until = stamp(call.now + timedelta(days=1))
    body = {"subject_id": subject["id"], "risk_score": subject["risk_score"]}
    return Answer({**body, "valid_until": valid_until, "alerts": [alert["id"] for alert in alerts]})


def _concerns(alert: Mapping[str, Any], subject: Mapping[str, Any]) -> bool:
    return bool(alert["subject_id"] == subject["id"])


def _create_subject(call: Call) -> Answer:
    return call.create(_SUBJECTS, "subj", call.fields(_SUBJECT))


def _update_subject(call: Call) -> Answer:
    return call.update(_SUBJECTS, call.fields(_SUBJECT, partial=True))


def _list_transactions(call: Call) -> Answer:
    return call.page(_TRANSACTIONS, _TRANSACTION_FILTERS)


def _get_transaction(call: Call) -> Answer:
    return Answer(call.get(_TRANSACTIONS))


def _search_transactions(call: Call) -> Answer:
    wanted = call.fields(_SEARCH)
    found = [r.body for r in call.records.all(_TRANSACTIONS) if _fits(r.body, wanted)]
    return Answer({"items": found[: wanted["limit"]], "total": len(found)})


def _fits(transaction: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    counterparty = (wanted["counterparty"] or "").casefold()
    return (
        wanted["subject_id"] in (None, transaction["subject_id"])
        and counterparty in transaction["counterparty"].casefold()
        and float(transaction["amount"]) >= (wanted["least_amount"] or 0)
    )


def _list_alerts(call: Call) -> Answer:
    return call.page(_ALERTS, _ALERT_FILTERS)


def _get_alert(call: Call) -> Answer:
    return Answer(call.get(_ALERTS))


OPERATIONS: Final = (
    Operation("GET", "/watchlist", "watchlist:read", _list_entries),
    Operation("POST", "/watchlist/screenings", "watchlist:read", _screen),
    Operation("GET", "/watchlist/{id}", "watchlist:read", _get_entry),
    Operation("POST", "/watchlist", "watchlist:write", _add_entry),
    Operation("PATCH", "/watchlist/{id}", "watchlist:write", _update_entry),
    Operation("DELETE", "/watchlist/{id}", "watchlist:write", _remove_entry),
    Operation("GET", "/transactions", "transactions:read", _list_transactions),
    Operation("POST", "/transactions/search", "transactions:read", _search_transactions),
    Operation("GET", "/transactions/{id}", "transactions:read", _get_transaction),
    Operation("GET", "/subjects", "subjects:read", _list_subjects),
    Operation("GET", "/subjects/{id}", "subjects:read", _get_subject),
    Operation("GET", "/subjects/{id}/risk", "subjects:read", _subject_risk),
    Operation("POST", "/subjects", "subjects:write", _create_subject),
    Operation("PATCH", "/subjects/{id}", "subjects:write", _update_subject),
    Operation("GET", "/alerts", "alerts:read", _list_alerts),
    Operation("GET", "/alerts/{id}", "alerts:read", _get_alert),
)
