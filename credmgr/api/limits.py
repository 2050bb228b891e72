"""How much anybody may ask of the API at once; each bounds memory or time."""

from datetime import timedelta
from typing import Final

CONNECTIONS: Final = 1024
"""Connections at once; one more is closed at once."""
HEADERS: Final = 64
"""Header fields of a request."""
HEADER_BYTES: Final = 16 * 1024
"""Their size, and that of the request line."""
URL_BYTES: Final = 4 * 1024
"""The request's target."""
PIPELINE: Final = 64
"""Requests that may be sent on one connection before the first is answered."""
BODY_BYTES: Final = 16 * 1024
"""The request's body; the largest that is sensible is a form of a few hundred."""
REQUEST: Final = timedelta(seconds=10)
"""How long a request may take to arrive whole, and an answer to be taken."""
IDLE: Final = timedelta(seconds=30)
"""How long a connection may stay open without a request."""
LAST_WORDS: Final = timedelta(seconds=3)
"""How long requests that are under way are waited for at the end."""
QUEUE: Final = 256
"""Calls that wait for one of the `API_THREADS`; one more is told to come again."""
