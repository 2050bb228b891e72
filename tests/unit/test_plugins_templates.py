"""Text around a secret: there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.plugins.templates import Template, mistake_in

TEMPLATES = [
    "{{ secret }}",
    "{{secret}}\n",
    "Bearer {{ secret }}",
    '{"username": "app_8v3k9m", "password": {{ secret | json }}}',
    "{{ secret|json }}{{ other }}",
]


@pytest.mark.parametrize("text", TEMPLATES)
@given(value=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_value_comes_back(text: str, value: str) -> None:
    template = Template.of(text)
    assert template.inside(template.filled(value)) == value


def test_a_json_string_is_quoted_and_a_plain_one_is_not() -> None:
    assert Template.of('{"p": {{ secret | json }}}').filled('a"ü') == '{"p": "a\\"ü"}'
    assert Template.of("<{{ secret }}>").filled('a"ü') == '<a"ü>'


@pytest.mark.parametrize(
    "text", ["", "a", "{{ secret }", "{{ value }}", "{{ secret }}{{ secret }}", "{{ secret | x }}"]
)
def test_a_template_with_no_place_or_two_is_told(text: str) -> None:
    assert "exactly once" in str(mistake_in(text))


def test_a_template_with_one_place_is_fine() -> None:
    assert [mistake_in(text) for text in TEMPLATES] == [None] * len(TEMPLATES)


@pytest.mark.parametrize("text", ["", "abc", '{"p": x}', '{"p": 1}', '{"p": "x"', '{"p": "x"} '])
def test_another_text_holds_nothing(text: str) -> None:
    assert Template.of('{"p": {{ secret | json }}}').inside(text) is None


def test_before_and_after_do_not_share_letters() -> None:
    assert Template.of("aa{{ secret }}aa").inside("aaa") is None
