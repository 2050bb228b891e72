"""Mail through Apprise and a real SMTP server."""

import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest

from credmgr.errors import ConfigError
from credmgr.notifiers.apprise import AppriseNotifierFactory, AppriseOptions
from credmgr.testing import Channel, NotifierContract
from credmgr.testing.canaries import everything_in, leaks
from tests.channel_world import channel_context
from tests.integration.mail_sink import mail_sink


class TestMail(NotifierContract):
    @pytest.fixture
    def channel(self) -> Iterator[Channel]:
        password = f"cnry{secrets.token_hex(20)}"
        with mail_sink(password) as sink:
            context = channel_context(sink.url, deadline=timedelta(seconds=4))
            notifier = AppriseNotifierFactory().open(AppriseOptions("env:SECRET"), context)
            yield Channel(notifier, sink.received, sink.down, password, {"failing": sink.failing})
            notifier.close()


def test_what_is_no_url_is_told_without_it() -> None:
    url = f"cnry{secrets.token_hex(20)}://nothing"
    with pytest.raises(ConfigError, match="not a URL that Apprise knows") as caught:
        AppriseNotifierFactory().open(AppriseOptions("env:SECRET"), channel_context(url))
    assert not leaks(url, everything_in(caught.value))
    assert list(AppriseNotifierFactory().validate(AppriseOptions("env:SECRET"))) == []
