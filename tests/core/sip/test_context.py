"""sip/context.py: what an agent writes about itself, and how it forgets."""

from random import Random

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.context import Context, UserAgentSettings
from sipcore.sip.message import Request
from sipcore.sip.parser import parse_message
from sipcore.sip.session import Session, SessionState
from sipcore.sip.values import NameAddress, Via


@pytest.fixture
def context():
    return Context(UserAgentSettings(("2001:db8::1", 5060), "me"), Random(1))


def test_contact_and_via_name_our_address(context):
    assert str(NameAddress.parse(context.contact)) == "<sip:me@[2001:db8::1]:5060>"
    via = Via.parse(context.via())
    assert (via.host, via.port, via.parameter("rport")) == ("2001:db8::1", 5060, "")
    assert via.is_unique
    assert via.branch != Via.parse(context.via()).branch


def test_ids_do_not_repeat(context):
    assert len({context.token() for _ in range(1000)}) == 1000
    assert 0 <= context.pause() <= 10


def test_a_stateless_tag_depends_on_the_request_alone(context, message):
    headers = parse_message(message()).headers
    assert context.stateless_tag(headers) == context.stateless_tag(headers)
    assert context.stateless_tag(headers) != context.stateless_tag(parse_message(message(number=2)).headers)
    other = Context(context.settings, Random(2))
    assert context.stateless_tag(headers) != other.stateless_tag(headers)


def test_an_unknown_session_is_our_mistake(context):
    with pytest.raises(LocalProtocolError, match="there is no session 'x'"):
        context.session("x")


def test_a_session_without_dialog_sends_nothing_in_it(context):
    session = Session("id", SessionState.CALLING, Request(), "tag", ("192.0.2.1", 5060))
    context.open(session)
    with pytest.raises(LocalProtocolError, match="before there is a dialog"):
        context.bye(session, 0.0, "")
    context.close(session)
    assert context.sessions == {}
    assert session.state is SessionState.ENDED
