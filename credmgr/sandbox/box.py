"""The composition root: a configuration and a base URL become a wired sandbox."""

import asyncio
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from credmgr import __version__
from credmgr.model.clock import Clock
from credmgr.model.secret import Secret
from credmgr.sandbox import resources
from credmgr.sandbox.access import AccessLog
from credmgr.sandbox.accounts import Applications
from credmgr.sandbox.admin import Admin
from credmgr.sandbox.answers import EXCEPTION_HANDLERS
from credmgr.sandbox.clients import Clients
from credmgr.sandbox.config import SandboxConfig
from credmgr.sandbox.control import Control
from credmgr.sandbox.database import Database
from credmgr.sandbox.faults import Faults
from credmgr.sandbox.faulty import FaultLayer
from credmgr.sandbox.gate import Doorkeeper, Gate
from credmgr.sandbox.issued import IssuedSecrets
from credmgr.sandbox.log import GroundTruth
from credmgr.sandbox.manage import Management
from credmgr.sandbox.oauth import AuthorizationServer
from credmgr.sandbox.resources import Api
from credmgr.sandbox.seed import sow
from credmgr.sandbox.tokens import Tokens

_ROUTES_SHOWN: Final = [f"{o.method} {resources.PREFIX}{o.path}" for o in resources.OPERATIONS]


class Box:
    """CaseForge, wired: everything but the server that it runs on.

    Attributes:
        base_url: What it is reached at; the issuer of its tokens.
        stopping: Set when the server shuts down, so that hanging requests let go.
        log: The ground truth.
        faults: What shall go wrong.
        secrets: What has been issued.
        applications: What is registered.
    """

    def __init__(
        self, config: SandboxConfig, base_url: str, admin_token: Secret, clock: Clock
    ) -> None:
        self.base_url = base_url
        self.stopping = asyncio.Event()
        self.faults = Faults()
        self._config = config
        self._clock = clock
        self._admin = Admin(admin_token)
        self._database = Database(config.database)
        self.log = GroundTruth(self._database, clock, config.keep_log_entries)
        self.applications = Applications(self._database, clock, self.log)
        self.secrets = IssuedSecrets(self._database, clock, self.log)
        self._tokens = Tokens(self._database, clock, self.log, config.token_lifetime)
        sow(self._database, self.applications)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=self._routes(),
            exception_handlers=dict(EXCEPTION_HANDLERS),
            middleware=[
                Middleware(AccessLog, clock=self._clock),
                Middleware(
                    FaultLayer, faults=self.faults, clock=self._clock, stopping=self.stopping
                ),
            ],
        )

    def _routes(self) -> list[Route]:
        gate = Gate(
            self.secrets,
            self.applications,
            self._tokens,
            self._clock,
            revoke_tokens_with_secret=self._config.revoke_tokens_with_secret,
        )
        clients = Clients(self.applications, self.secrets, self._clock)
        key_scopes = tuple(self._config.key_scopes)
        return [
            Route("/", self._contents),
            *AuthorizationServer(
                self.base_url, clients, self._tokens, gate, self.log, self._admin.recognises
            ).routes(),
            *Api(Doorkeeper(gate, self.log), self._database, self.log, self._clock).routes(),
            *Management(
                self.applications, self.secrets, self._clock, self._admin, key_scopes
            ).routes(),
            *Control(self.faults, self.log, self.secrets, self._clock, self._admin).routes(),
        ]

    async def _contents(self, _request: Request) -> Response:
        here = self.base_url
        body: dict[str, Any] = {
            "service": "CaseForge sandbox",
            "version": __version__,
            "token_endpoint": f"{here}/oauth/token",
            "metadata": f"{here}/.well-known/oauth-authorization-server",
            "management": f"{here}/manage/v1",
            "api": _ROUTES_SHOWN,
        }
        return JSONResponse(body)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()
