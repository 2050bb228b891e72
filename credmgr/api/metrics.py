"""`/metrics`: for Prometheus, in its text format 0.0.4; names of credentials, never a value."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr import __version__
from credmgr.api.callers import Caller
from credmgr.api.fast import ROUTE
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import NO_STORE
from credmgr.model.finding import Severity
from credmgr.model.rotation import State

MEDIA: Final = "text/plain"
_MEDIA_TYPE: Final = f"{MEDIA}; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float]


class Metrics:
    """The route of metrics."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                "/metrics",
                Access.OPERATOR,
                self.scrape,
                "Numbers for Prometheus.",
                {200: {"type": "string"}},
                media=MEDIA,
                refusals=(503,),
            ),
        )

    async def scrape(self, _request: Request, _caller: Caller | None) -> Response:
        """All of them."""
        lines = [*self._of_requests(), *await self._house.work.share("metrics", self._of_state)]
        text = "".join(f"{line}\n" for line in lines)
        return Response(text, headers={**NO_STORE, "Content-Type": _MEDIA_TYPE})

    def _of_requests(self) -> Iterator[str]:
        counts, hit = self._house.counts, (ROUTE, "GET", 200)
        requests = Counter(counts.requests)
        requests[hit] += counts.hits
        yield from family(
            "credmgr_build_info", "gauge", "The version.", [({"version": __version__}, 1)]
        )
        yield from family(
            "credmgr_api_requests_total",
            "counter",
            "Requests answered, by route, method and status.",
            [
                ({"route": route, "method": method, "status": str(status)}, count)
                for (route, method, status), count in sorted(requests.items())
            ],
        )
        yield from family(
            "credmgr_api_token_hits_total",
            "counter",
            "Tokens that were at hand.",
            [({}, counts.hits)],
        )
        yield from family(
            "credmgr_token_requests_total",
            "counter",
            "Token requests to issuers, by how they ended.",
            [
                ({"issuer": issuer, "outcome": how}, count)
                for (issuer, how), count in sorted(self._house.app.broker.outcomes().items())
            ],
        )
        yield from family(
            "credmgr_api_calls_waiting",
            "gauge",
            "Calls that run or wait for a thread.",
            [({}, self._house.work.under_way)],
        )

    def _of_state(self) -> list[str]:
        app = self._house.app
        now, ledger = app.clock.now(), app.store.ledger
        status = Counter(one.status.value for one in ledger.all_enrolled())
        states = Counter(one.state for one in ledger.open_rotations())
        found = ledger.findings(open_only=True)
        findings = Counter(one.severity for one in found)
        rules = Counter(one.key.partition("/")[0] for one in found)
        channels = app.store.outbox.states(app.manifest.alerts.channels)
        ages = [
            ({"credential": name}, (now - version.issued_at).total_seconds())
            for name, version in sorted(ledger.current_versions().items())
        ]
        shown = [one for one in State if one not in (State.DONE, State.ABORTED)]
        families = (
            ("credmgr_credentials", "Credentials by status.", _by("status", status)),
            (
                "credmgr_rotations_open",
                "Rotations that have not ended, by state.",
                [({"state": one.value}, float(states[one])) for one in shown],
            ),
            (
                "credmgr_findings_open",
                "Open findings by severity.",
                [({"severity": one.value}, float(findings[one])) for one in Severity],
            ),
            ("credmgr_findings_open_by_rule", "Open findings by rule.", _by("rule", rules)),
            (
                "credmgr_alerts_waiting",
                "Messages that a channel has not taken.",
                [({"channel": one.name}, float(one.waiting)) for one in channels],
            ),
            (
                "credmgr_alerts_failures",
                "Deliveries in a row that a channel did not take.",
                [({"channel": one.name}, float(one.attempts)) for one in channels],
            ),
            ("credmgr_secret_age_seconds", "Age of the current secret.", ages),
        )
        return [line for name, told, rows in families for line in family(name, "gauge", told, rows)]


def family(name: str, kind: str, told: str, samples: Sequence[Sample]) -> Iterator[str]:
    """The lines of one metric."""
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{said}}} {value:.17g}" if said else f"{name} {value:.17g}"


def _by(label: str, counts: Counter[str]) -> Sequence[Sample]:
    return [({label: key}, float(count)) for key, count in sorted(counts.items())]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
