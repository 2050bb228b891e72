"""What a new sandbox begins with: one application without secrets, and data for both worlds.

Invented people and companies. The live world is a mid-sized bank's month; the sandbox world is
small and says everywhere that it is a test.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any, Final

from credmgr.sandbox.accounts import SEEDED_CLIENT_ID, Applications, Declaration
from credmgr.sandbox.catalogue import Environment
from credmgr.sandbox.database import Database, stamp
from credmgr.sandbox.records import Records

_FIRST_DAY: Final = datetime(2026, 3, 2, 8, 15, tzinfo=UTC)
_BETWEEN_TRANSACTIONS: Final = timedelta(hours=7, minutes=13)

# Each with name, kind, country and risk score.
_SUBJECTS: Final = (
    ("Marisol Ibarra Quintana", "person", "MX", 71),
    ("Northlight Freight ApS", "organisation", "DK", 38),
    ("Tomasz Wierzbicki", "person", "PL", 12),
    ("Halcyon Ridge Holdings Ltd", "organisation", "VG", 88),
    ("Adaeze Okonkwo", "person", "NG", 45),
    ("Bluefern Pharmacy Group", "organisation", "GB", 9),
    ("Viktor Anselm Drago", "person", "MD", 93),
    ("Kestrel & Vane Jewellers", "organisation", "BE", 64),
    ("Linh Tran Thi", "person", "VN", 27),
    ("Ostrava Metal Trading s.r.o.", "organisation", "CZ", 56),
    ("Jean-Baptiste Moreau", "person", "FR", 5),
    ("Sandpiper Exchange FZE", "organisation", "AE", 82),
)
_TEST_SUBJECTS: Final = (
    ("Test Person One", "person", "US", 10),
    ("Test Company Two", "organisation", "US", 90),
    ("Test Person Three", "person", "US", 50),
)

# Each with its title, the number of its subject, status, priority and assignee.
_CASES: Final = (
    ("Cash deposits just below the reporting limit", 1, "open", "high", "d.petrov"),
    ("Freight invoices without matching bills of lading", 2, "in_review", "medium", "a.lindqvist"),
    ("Shell company with three owners in two years", 4, "escalated", "critical", "d.petrov"),
    ("Dormant account suddenly active", 3, "open", "low", None),
    ("Round sums to a high-risk jurisdiction", 7, "open", "critical", "m.osei"),
    ("Card refunds exceed card sales", 6, "closed", "medium", "a.lindqvist"),
    ("Gold bought with third-party funds", 8, "open", "high", None),
    ("Remittances to many unrelated receivers", 5, "in_review", "medium", "m.osei"),
    ("Possible match with a sanctions list", 7, "escalated", "critical", "d.petrov"),
    ("Scrap metal sold far above market price", 10, "open", "medium", None),
    ("Crypto exchange flows without a licence on file", 12, "open", "high", "m.osei"),
    ("Student account receives company wages", 9, "closed", "low", "a.lindqvist"),
)
_TEST_CASES: Final = (
    ("Test case: structuring", 1, "open", "high", "tester"),
    ("Test case: layering", 2, "in_review", "medium", "tester"),
    ("Test case: closed", 3, "closed", "low", None),
)

# Each with the number of its case, its status and the type of activity.
_SARS: Final = (
    (6, "filed", "refund_fraud"),
    (3, "draft", "shell_company"),
    (9, "in_review", "sanctions_evasion"),
)
_TEST_SARS: Final = ((2, "draft", "test"), (3, "filed", "test"))

# Each with name, list, country and reason.
_WATCHLIST: Final = (
    ("Viktor A. Drago", "sanctions", "MD", "asset freeze"),
    ("Halcyon Ridge Holdings", "adverse_media", "VG", "named in a leak of company records"),
    ("Rosalind Achterberg", "pep", "NL", "member of parliament"),
    ("Sandpiper Exchange", "internal", "AE", "no licence on file"),
    ("Ilir Hoxha Trading", "sanctions", "AL", "arms embargo"),
)
_TEST_WATCHLIST: Final = (("Test Company Two", "internal", "US", "always matches"),)

# The rules of the engine, each with the severity of its alerts.
_RULES: Final = (
    ("structuring", "high"),
    ("rapid_movement", "medium"),
    ("high_risk_country", "high"),
    ("unusual_amount", "low"),
)
_COUNTERPARTIES: Final = ("Corner Bank", "Meridian Ltd", "Cash desk 14", "Osprey Pay", "J. Doe")
_AMOUNTS: Final = ("9800.00", "245.10", "12400.00", "9950.00", "76000.00", "31.99", "4999.00")
_TRANSACTIONS_EACH: Final = 5


def sow(database: Database, applications: Applications) -> None:
    """Fill a new database; one that is already filled is left alone. May be repeated."""
    with database.transaction():
        if applications.find(SEEDED_CLIENT_ID) is not None:
            return
        declared = Declaration(name="Case console", description="The example of the documentation.")
        applications.declare(SEEDED_CLIENT_ID, declared)
        _sow_live(Records(database, Environment.LIVE))
        _sow_sandbox(Records(database, Environment.SANDBOX))


def _sow_live(records: Records) -> None:
    _put(records, "subjects", _subjects("subj_1", _SUBJECTS))
    _put(records, "cases", _cases("case_2041", "subj_1", _CASES))
    _put(records, "case_histories", _histories("case_2041", len(_CASES)))
    _put(records, "sars", _sars("sar_77", "case_2041", _SARS))
    _put(records, "watchlist_entries", _watchlist("wl_5", _WATCHLIST))
    _put(records, "transactions", _transactions("txn_900", "subj_1", len(_SUBJECTS)))
    _put(records, "alerts", _alerts("alrt_30", "subj_1", len(_SUBJECTS)))


def _sow_sandbox(records: Records) -> None:
    _put(records, "subjects", _subjects("subj_test_", _TEST_SUBJECTS))
    _put(records, "cases", _cases("case_test_", "subj_test_", _TEST_CASES))
    _put(records, "case_histories", _histories("case_test_", len(_TEST_CASES)))
    _put(records, "sars", _sars("sar_test_", "case_test_", _TEST_SARS))
    _put(records, "watchlist_entries", _watchlist("wl_test_", _TEST_WATCHLIST))
    _put(records, "transactions", _transactions("txn_test_", "subj_test_", len(_TEST_SUBJECTS)))
    _put(records, "alerts", _alerts("alrt_test_", "subj_test_", len(_TEST_SUBJECTS)))


def _put(records: Records, collection: str, bodies: Iterator[Mapping[str, Any]]) -> None:
    for body in bodies:
        records.put(collection, body)


def _id(prefix: str, number: int) -> str:
    return f"{prefix}{number:02}"


def _times(day: int) -> dict[str, str]:
    created = _FIRST_DAY + timedelta(days=day)
    return {"created_at": stamp(created), "updated_at": stamp(created + timedelta(hours=3))}


def _subjects(prefix: str, rows: tuple[tuple[str, str, str, int], ...]) -> Iterator[dict[str, Any]]:
    for number, (name, kind, country, risk_score) in enumerate(rows, 1):
        about = {"name": name, "kind": kind, "country": country, "risk_score": risk_score}
        yield {"id": _id(prefix, number), **about, **_times(number)}


def _cases(
    prefix: str, subject_prefix: str, rows: tuple[tuple[str, int, str, str, str | None], ...]
) -> Iterator[dict[str, Any]]:
    for number, (title, subject, status, priority, assignee) in enumerate(rows, 1):
        closed = status == "closed"
        yield {
            "id": _id(prefix, number),
            "title": title,
            "subject_id": _id(subject_prefix, subject),
            "status": status,
            "priority": priority,
            "assignee": assignee,
            "summary": f"{title}. Raised by the rules engine.",
            "resolution": "no_action" if closed else None,
            **_times(number),
            "closed_at": _times(number)["updated_at"] if closed else None,
        }


def _histories(prefix: str, count: int) -> Iterator[dict[str, Any]]:
    for number in range(1, count + 1):
        created = _times(number)["created_at"]
        step = {"time": created, "what": "created", "by": "rules-engine", "note": ""}
        yield {"id": _id(prefix, number), "steps": [step]}


def _sars(
    prefix: str, case_prefix: str, rows: tuple[tuple[int, str, str], ...]
) -> Iterator[dict[str, Any]]:
    for number, (case, status, activity_type) in enumerate(rows, 1):
        yield {
            "id": _id(prefix, number),
            "case_id": _id(case_prefix, case),
            "status": status,
            "activity_type": activity_type,
            "narrative": f"Pattern consistent with {activity_type.replace('_', ' ')}.",
            **_times(number + 14),
            "submitted_at": None if status == "draft" else _times(number + 14)["updated_at"],
        }


def _watchlist(
    prefix: str, rows: tuple[tuple[str, str, str, str], ...]
) -> Iterator[dict[str, Any]]:
    for number, (name, listed, country, reason) in enumerate(rows, 1):
        about = {"name": name, "list": listed, "country": country, "reason": reason}
        yield {"id": _id(prefix, number), **about, **_times(number)}


def _transactions(prefix: str, subject_prefix: str, subjects: int) -> Iterator[dict[str, Any]]:
    counterparties, amounts = cycle(_COUNTERPARTIES), cycle(_AMOUNTS)
    directions, currencies = cycle(("in", "out", "out")), cycle(("EUR", "USD", "EUR", "GBP"))
    for number in range(1, subjects * _TRANSACTIONS_EACH + 1):
        yield {
            "id": _id(prefix, number),
            "subject_id": _id(subject_prefix, number % subjects + 1),
            "direction": next(directions),
            "amount": next(amounts),
            "currency": next(currencies),
            "counterparty": next(counterparties),
            "booked_at": stamp(_FIRST_DAY + number * _BETWEEN_TRANSACTIONS),
        }


def _alerts(prefix: str, subject_prefix: str, subjects: int) -> Iterator[dict[str, Any]]:
    rules = cycle(_RULES)
    for number in range(1, subjects + 1):
        rule, severity = next(rules)
        yield {
            "id": _id(prefix, number),
            "rule": rule,
            "severity": severity,
            "subject_id": _id(subject_prefix, number),
            "status": "new" if number % 3 else "reviewed",
            "raised_at": _times(number)["created_at"],
        }
