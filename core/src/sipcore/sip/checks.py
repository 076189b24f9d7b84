"""What a request must pass before anyone looks at what it wants (RFC 3261 §8.2)."""

from __future__ import annotations

from sipcore.errors import RemoteProtocolError
from sipcore.sip.message import METHODS, Request

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY"
"""The methods that we serve."""
ACCEPT = "application/sdp"
"""The only body that an offer or answer may have."""
CAPABILITIES = [("Allow", ALLOW), ("Accept", ACCEPT)]
"""What the answer to OPTIONS tells (§11.2)."""
SUPPORTED: frozenset[str] = frozenset()
"""The option tags that a Require may name (§8.2.2.3)."""

_ALLOWED = frozenset(ALLOW.split(", "))


class RefusedRequestError(RemoteProtocolError):
    """A request that gets an error response.

    Args:
        message: what was wrong.
        status: of the response.
        headers: what the response must carry beside the usual: Allow, Accept, Unsupported, Retry-After.
    """

    def __init__(self, message: str, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(message, status)
        self.headers = headers


def check_request(request: Request) -> None:
    """Inspect method, Request-URI, Require and body, in the order of §8.2; RefusedRequestError at the first fault."""
    if request.method not in _ALLOWED:
        status = 405 if request.method in METHODS else 501
        raise RefusedRequestError(f"{request.method[:40]} is not served", status, ("Allow", ALLOW))
    if not request.uri.is_sip and request.uri.scheme != "tel":
        raise RefusedRequestError(f"{request.uri.scheme[:40]}: is no URI that we can serve", 416)
    if request.method == "CANCEL":
        return
    _check_require(request)
    if request.method in ("INVITE", "UPDATE"):
        _check_body(request)


def _check_require(request: Request) -> None:
    unknown = [tag for tag in request.headers.get_list("Require") if tag not in SUPPORTED]
    if unknown:
        tags = ", ".join(unknown)
        raise RefusedRequestError(f"Require: {tags[:80]}", 420, ("Unsupported", tags))


def _check_body(request: Request) -> None:
    """See that the offer is SDP (§8.2.3) and that its answer may be (§20.1)."""
    if request.body and request.content_type != ACCEPT:
        raise RefusedRequestError(f"a body of type {request.content_type[:80]!r}", 415, ("Accept", ACCEPT))
    encoding = request.headers.get("Content-Encoding")
    if request.body and encoding and encoding.lower() != "identity":
        raise RefusedRequestError(f"a body encoded as {encoding[:40]!r}", 415, ("Accept-Encoding", "identity"))
    accepted = [item.partition(";")[0].strip().lower() for item in request.headers.get_list("Accept")]
    if accepted and not {ACCEPT, "application/*", "*/*"} & set(accepted):
        warning = ("Warning", '399 sipcore "only application/sdp can be offered"')
        raise RefusedRequestError("Accept does not list application/sdp", 406, ("Accept", ACCEPT), warning)
