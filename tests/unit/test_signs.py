"""One sign for each state, wherever it is shown."""

from credmgr.cli import output
from credmgr.logs import Story
from credmgr.model.copy import Condition
from credmgr.model.credential import CredentialStatus
from credmgr.model.rotation import State
from credmgr.signs import SIGNS


def test_every_state_has_a_sign_and_no_other_word_has() -> None:
    assert set(SIGNS) == {str(one) for one in (*State, *CredentialStatus, *Condition)}


def test_a_table_and_a_log_line_show_the_same_sign() -> None:
    story = Story(colour=False)
    for word, sign in SIGNS.items():
        assert f"]{sign} {word}[/]" in output.state(word)
        assert story(None, "", {"state": word, "event": "moved"}).split()[0] == sign
