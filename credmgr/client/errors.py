"""What only a consumer is told; the rest it shares with the broker (`credmgr.errors`)."""

from credmgr.errors import BrokerError, TokenUnavailable


class NotLetIn(BrokerError):
    """Who is asking is not known here."""

    code = "not_let_in"


class SecretUnavailable(TokenUnavailable):
    """The secret cannot be had now."""

    code = "secret_unavailable"
