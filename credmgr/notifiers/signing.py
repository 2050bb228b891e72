"""The signature of a webhook: HMAC-SHA256 over the time and the body, so that no old one counts."""

import hmac
from datetime import datetime
from hashlib import sha256
from typing import Final

from credmgr.model.secret import Secret

HEADER: Final = "Credmgr-Signature"


def signature(secret: Secret, at: datetime, body: bytes) -> str:
    """The value of the header: `t=UNIX-SECONDS,v1=HEX`, the latter of `UNIX-SECONDS.BODY`."""
    moment = str(int(at.timestamp()))
    signed = b"%s.%s" % (moment.encode(), body)
    return f"t={moment},v1={hmac.new(secret.reveal().encode(), signed, sha256).hexdigest()}"
