"""The part of the management API that is for tests: faults, the ground truth, every live secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from credmgr.model.clock import Clock
from credmgr.sandbox.admin import Admin
from credmgr.sandbox.answers import answered, bad_request
from credmgr.sandbox.faults import Fault, Faults
from credmgr.sandbox.faulty import FAULTS_PATH
from credmgr.sandbox.fields import read_json
from credmgr.sandbox.issued import Issued, IssuedSecrets
from credmgr.sandbox.log import GroundTruth
from credmgr.sandbox.manage import PREFIX

_MOST_FAULTS: Final = 100
_DEFAULT_LOG_LIMIT: Final = 1000
_HIGHEST_LOG_LIMIT: Final = 10_000
_LONGEST_NUMBER: Final = 18


@dataclass(frozen=True, slots=True)
class Control:
    """What a test turns and reads."""

    faults: Faults
    log: GroundTruth
    secrets: IssuedSecrets
    clock: Clock
    admin: Admin

    def routes(self) -> list[Route]:
        """Where everything is; all of it behind the admin token."""
        table = (
            ("GET", FAULTS_PATH, self.list_faults),
            ("PUT", FAULTS_PATH, self.replace_faults),
            ("POST", FAULTS_PATH, self.add_fault),
            ("DELETE", FAULTS_PATH, self.clear_faults),
            ("GET", f"{PREFIX}/log", self.read_log),
            ("GET", f"{PREFIX}/secrets", self.live_secrets),
        )
        return [Route(path, self.admin.only(to), methods=[method]) for method, path, to in table]

    async def list_faults(self, _request: Request) -> Response:
        """What is armed."""
        return answered(self.faults.as_json())

    async def replace_faults(self, request: Request) -> Response:
        """Arm exactly the faults in the body: `{"faults": […]}`."""
        body = await read_json(request)
        listed = body.get("faults")
        if set(body) != {"faults"} or not isinstance(listed, list) or len(listed) > _MOST_FAULTS:
            raise bad_request(f"The body holds one list, faults, of at most {_MOST_FAULTS}.")
        if not all(isinstance(item, dict) for item in listed):
            raise bad_request("Each fault is a JSON object.")
        self.faults.replace(*(Fault.of(item) for item in listed))
        return answered(self.faults.as_json())

    async def add_fault(self, request: Request) -> Response:
        """Arm one more fault: the body."""
        self.faults.add(Fault.of(await read_json(request)))
        return answered(self.faults.as_json(), 201)

    async def clear_faults(self, _request: Request) -> Response:
        """Disarm all. May be repeated."""
        self.faults.clear()
        return answered(self.faults.as_json())

    async def read_log(self, request: Request) -> Response:
        """The ground truth behind `?after=`, at most `?limit=` entries of it."""
        after = _number(request.query_params, "after", 0)
        limit = _number(request.query_params, "limit", _DEFAULT_LOG_LIMIT)
        if not 1 <= limit <= _HIGHEST_LOG_LIMIT:
            raise bad_request(f"limit is from 1 to {_HIGHEST_LOG_LIMIT}")
        entries = self.log.entries(after, limit)
        last = entries[-1].seq if entries else after
        return answered({"items": [entry.as_json() for entry in entries], "last_seq": last})

    async def live_secrets(self, _request: Request) -> Response:
        """Every secret that is not revoked, of every credential, whatever lists may show."""
        return answered({"items": [self._shown(secret) for secret in self.secrets.live()]})

    def _shown(self, secret: Issued) -> dict[str, Any]:
        more = {"kind": secret.kind, "credential": secret.credential}
        return {**secret.as_json(), **more, "accepted": secret.accepted(self.clock.now())}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise bad_request(f"{name} is a whole number")
    return int(text)
