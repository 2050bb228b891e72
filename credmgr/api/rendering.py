"""Answers in JSON: moments as ISO 8601 texts, ids as texts; nobody on the way keeps them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from credmgr.api.problems import NO_STORE


def as_json(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """`body` with status 200."""
    return Response(
        json.dumps(body, default=_text),
        headers={**NO_STORE, **(headers or {})},
        media_type="application/json",
    )


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
