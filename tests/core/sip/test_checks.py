"""sip/checks.py: RFC 3261 §8.2, in its order."""

import pytest
from sipcore.sip.checks import RefusedRequestError, check_request
from sipcore.sip.parser import parse_message

SDP = b"v=0\r\n"


def refuse(message, method="INVITE", **fields):
    fields = {name.replace("_", "-") if name not in ("to_tag",) else name: value for name, value in fields.items()}
    with pytest.raises(RefusedRequestError) as error:
        check_request(parse_message(message(method, **fields)))
    return error.value.status, dict(error.value.headers)


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "REFER", "PRACK"])
def test_methods_that_we_do_not_do_get_405_and_a_list(message, method):
    status, headers = refuse(message, method)
    assert status == 405
    assert "INVITE" in headers["Allow"]


def test_unknown_methods_get_501(message):
    assert refuse(message, "DANCE")[0] == 501


def test_unknown_schemes_get_416(message):
    assert refuse(message, uri="soap.beep://x")[0] == 416
    check_request(parse_message(message(uri="tel:+12015550123")))


def test_an_unknown_extension_gets_420_with_its_name(message):
    assert refuse(message, "OPTIONS", Require="100rel, nothing") == (420, {"Unsupported": "100rel, nothing"})


def test_a_cancel_may_require_anything(message):
    check_request(parse_message(message("CANCEL", Require="nothing")))


def test_a_body_that_is_no_sdp_gets_415(message):
    assert refuse(message, body=b"<audio/>", Content_Type="application/xml") == (415, {"Accept": "application/sdp"})
    assert refuse(message, body=SDP, Content_Encoding="gzip") == (415, {"Accept-Encoding": "identity"})
    check_request(parse_message(message(body=SDP, **{"Content-Encoding": "identity"})))
    check_request(parse_message(message("INFO", body=b"5", **{"Content-Type": "application/dtmf-relay"})))


def test_a_caller_that_takes_no_sdp_gets_406(message):
    status, headers = refuse(message, body=SDP, Accept="text/nobodyKnowsThis")
    assert status == 406
    assert headers["Accept"] == "application/sdp"
    assert headers["Warning"].startswith("399 ")


@pytest.mark.parametrize("accept", ["application/sdp;level=1, text/x", "*/*", "Application/*", ""])
def test_a_caller_that_takes_sdp_passes(message, accept):
    check_request(parse_message(message(body=SDP, Accept=accept)))
