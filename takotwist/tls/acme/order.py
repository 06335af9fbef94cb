"""One order of a certificate, by the `acme` package of certbot's authors.

It asks in the manner of `requests`, which blocks, so all of this runs in a thread of its own.
Rules: each wait has an end that no clock can move; nothing is ordered where the clock of this
machine is wrong; a certificate that does not fit is not taken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, ClassVar, Literal

import attrs
import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from takotwist.tls.acme.folder import AcmeFolder
from takotwist.tls.acme.schedule import MOST_SKEW
from takotwist.tls.certificate import CertificatePair

ChallengeType = Literal["tls-alpn-01", "http-01"]

#: Seconds for one request, for the validation of all names, and for the signature.
REQUEST_SECONDS, VALIDATION_SECONDS, SIGNATURE_SECONDS = 20, 120.0, 120.0

#: Times that a request is sent again, twice each, because its nonce was refused.
NONCES = 4

#: Characters of a reason that are kept: authorities quote what they were answered.
MAX_REASON = 500


class OrderFailed(Exception):
    """There is no certificate.

    :ivar reason: for the log.
    :ivar retry_after: seconds that the authority wants to be left alone, or 0.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        self.reason = " ".join(reason.split())[:MAX_REASON]
        self.retry_after = retry_after
        super().__init__(self.reason)


class OrderStopped(OrderFailed):
    """The server stops, which is nobody's fault."""


@challenges.ChallengeResponse.register
class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
    """The answer to a tls-alpn-01 challenge, which the `acme` package knows no more."""

    typ: ClassVar[str] = "tls-alpn-01"


@challenges.Challenge.register
class TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """A tls-alpn-01 challenge (RFC 8737)."""

    response_cls = TlsAlpn01Response
    typ = TlsAlpn01Response.typ

    def validation(self, account_key: JWK, **_: object) -> str:
        """The text whose hash is in the certificate."""
        authorization: str = self.key_authorization(account_key)
        return authorization


class _Network(client.ClientNetwork):
    """Sends a request again for as long as its nonce is refused (RFC 8555, section 6.5).

    The library does so once, and an authority of several machines refuses more than one.
    """

    def post(self, *arguments: object, **named: object) -> requests.Response:
        """See `ClientNetwork`."""
        for _ in range(NONCES):
            try:
                return super().post(*arguments, **named)
            except messages.Error as failed:
                if failed.code != "badNonce":
                    raise
        return super().post(*arguments, **named)


class _Notes:
    """Notes in the authority's answers, beside their content."""

    def __init__(self) -> None:
        self.retry_after = 0.0
        self.date: datetime | None = None

    def take(self, response: requests.Response, *_: object, **__: object) -> None:
        """Called with each answer."""
        said = response.headers.get("Retry-After", "")
        if response.status_code in (429, 503):
            self.retry_after = _seconds_of(said)
        try:
            self.date = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            self.date = None


def _seconds_of(retry_after: str) -> float:
    """Of a Retry-After, which is a number or a date (RFC 9110, section 10.2.3)."""
    if retry_after.isdigit() and len(retry_after) < 10:
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


@attrs.define(slots=True, eq=False)
class Orders:
    """Asks one authority.

    :ivar email: for its letters, or `None`.
    :ivar ca_file: certificates (PEM) to trust in place of the usual.
    :ivar wall: unix time in seconds.
    :ivar stopped: set when the server stops, which ends every wait.
    """

    folder: AcmeFolder
    email: str | None
    ca_file: str | None
    wall: Callable[[], float]
    stopped: Event
    _notes: _Notes = attrs.field(factory=_Notes, init=False)

    def obtain(self, challenge: ChallengeType) -> CertificatePair:
        """Order a certificate.

        :param challenge: how the names are proved.
        :raises OrderFailed: says why.
        """
        with self._reasons():
            acme = self._client()
            self._check_clock()
            self._sign_in(acme)
            key = ec.generate_private_key(ec.SECP256R1())
            key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            order = acme.new_order(crypto_util.make_csr(key_pem, list(self.folder.domains)))
            try:
                self._prove(acme, order, challenge)
                chain = self._signed(acme, order)
            finally:
                self.folder.forget_answers()
            return self._checked(chain, key)

    def advice(self, pair: CertificatePair) -> float | None:
        """The moment at which the authority would have a certificate renewed (ARI), in unix
        seconds.

        :return: `None` where it does not say.
        :raises OrderFailed: it could not be asked.
        """
        with self._reasons():
            acme = self._client()
            self._check_clock()
            at, _ = acme.renewal_time(pair.leaf.public_bytes(Encoding.PEM))
            return None if at is None else at.timestamp()

    # steps

    def _client(self) -> client.ClientV2:
        """A client that has read the directory."""
        account = self.folder.account()
        key = _key_of(account)
        if key is None:
            key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
            # Before it is shown to anybody, so that a try that is cut short is no second account.
            self.folder.write_account(json.loads(key.json_dumps()), None)
        # `requests` takes a path in place of true.
        verify: Any = self.ca_file or True
        net = _Network(
            key,
            alg=ES256,
            verify_ssl=verify,
            user_agent="takotwist",
            timeout=REQUEST_SECONDS,
        )
        self._notes = _Notes()
        net.session.hooks["response"].append(self._notes.take)
        return client.ClientV2(client.ClientV2.get_directory(self.folder.directory, net), net)

    def _check_clock(self) -> None:
        """:raises OrderFailed: the clock is wrong."""
        date = self._notes.date
        skew = 0.0 if date is None else self.wall() - date.replace(tzinfo=UTC).timestamp()
        if abs(skew) > MOST_SKEW:
            raise OrderFailed(
                f"the clock of this machine is {abs(skew) / 3600:.0f} hours"
                f" {'ahead' if skew > 0 else 'behind'}; nothing is ordered until it is right"
            )

    def _sign_in(self, acme: client.ClientV2) -> None:
        """Use the account, or make one."""
        if acme.external_account_required():
            raise OrderFailed("the authority wants an account that was made elsewhere (EAB)")
        uri = self.folder.account().get("uri")
        if uri is not None:
            acme.net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
            try:
                acme.query_registration(acme.net.account)
                return
            except messages.Error as failed:
                if failed.code != "accountDoesNotExist":
                    raise
                acme.net.account = None
        registration = messages.NewRegistration.from_data(
            email=self.email, terms_of_service_agreed=True
        )
        try:
            uri = acme.new_account(registration).uri
        except errors.ConflictError as known:
            uri = known.location
            acme.net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
        assert acme.net.key is not None
        self.folder.write_account(json.loads(acme.net.key.json_dumps()), uri)

    def _prove(
        self, acme: client.ClientV2, order: messages.OrderResource, challenge: ChallengeType
    ) -> None:
        """Prove that the names are ours."""
        pending = [one for one in order.authorizations if one.body.status != messages.STATUS_VALID]
        for one in pending:
            domain = one.body.identifier.value
            offered = [body for body in one.body.challenges if body.chall.typ == challenge]
            if not offered:
                raise OrderFailed(f"{domain}: the authority offers no {challenge} challenge")
            [body] = offered
            answer = body.chall.key_authorization(acme.net.key)
            if challenge == "http-01":
                self.folder.answer_http(body.chall.encode("token"), answer)
            else:
                now = datetime.fromtimestamp(self.wall(), UTC)
                self.folder.answer_alpn(domain, answer, now)
            acme.answer_challenge(body, body.chall.response(acme.net.key))
        until = time.monotonic() + VALIDATION_SECONDS
        for one in pending:
            authorization, _ = acme.poll(one)
            while authorization.body.status == messages.STATUS_PENDING:
                self._pause(until, f"{authorization.body.identifier.value}: it was not validated")
                authorization, _ = acme.poll(one)
            if authorization.body.status != messages.STATUS_VALID:
                raise OrderFailed(_why(authorization.body))

    def _signed(self, acme: client.ClientV2, order: messages.OrderResource) -> str:
        """The chain, as PEM."""
        until = time.monotonic() + SIGNATURE_SECONDS
        new_nonce = acme.directory["newNonce"]

        def fetch(url: str) -> requests.Response:
            return acme.net.post(url, None, new_nonce_url=new_nonce)

        body = messages.Order.from_json(fetch(order.uri).json())
        while body.status == messages.STATUS_PENDING:
            # Validated, and the order does not know it yet.
            self._pause(until, "the order did not become ready")
            body = messages.Order.from_json(fetch(order.uri).json())
        if body.status == messages.STATUS_READY:
            body = acme.begin_finalization(order.update(body=body)).body
        while body.status == messages.STATUS_PROCESSING:
            self._pause(until, "the certificate was not signed")
            body = messages.Order.from_json(fetch(order.uri).json())
        if body.status != messages.STATUS_VALID or body.certificate is None:
            raise OrderFailed(f"the order is {body.status.name}: {_detail(body.error)}")
        chain: str = fetch(body.certificate).text
        return chain

    def _checked(self, chain: str, key: ec.EllipticCurvePrivateKey) -> CertificatePair:
        """The certificate, where it is what was ordered."""
        try:
            pair = CertificatePair(tuple(x509.load_pem_x509_certificates(chain.encode())), key)
        except ValueError:
            raise OrderFailed("the authority's answer is no certificate") from None
        if pair.leaf.public_key() != key.public_key():
            raise OrderFailed("the authority's certificate is for another key")
        if set(pair.names) != set(self.folder.domains):
            raise OrderFailed("the authority's certificate is for other names")
        return pair

    def _pause(self, until: float, reason: str) -> None:
        """Wait a second.  :raises OrderFailed: it is too late, or the server stops."""
        if time.monotonic() >= until:
            raise OrderFailed(f"{reason} in time")
        if self.stopped.wait(1.0):
            raise OrderStopped("the server stops")

    def _reasons(self) -> _Reasons:
        return _Reasons(self._retry_after)

    def _retry_after(self) -> float:
        return self._notes.retry_after


@attrs.frozen(slots=True)
class _Reasons:
    """Whatever goes wrong within is an `OrderFailed`."""

    _retry_after: Callable[[], float]

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        match error:
            case None | OrderFailed():
                return
            case messages.Error():
                reason = _detail(error)
            case requests.RequestException():
                # Their texts have addresses of objects in them.
                cause = error.__cause__ or error
                reason = f"the authority cannot be reached: {type(cause).__name__}"
            case OSError():
                reason = f"its folder cannot be written: {error.strerror or error}"
            case errors.Error() | JoseError() | ValueError() | KeyError() | TypeError():
                reason = f"the authority's answer cannot be used: {type(error).__name__}: {error}"
            case AttributeError():
                reason = "the authority's directory lacks what is needed"
            case _:
                return
        raise OrderFailed(reason, self._retry_after()) from None


def _key_of(account: Mapping[str, Any]) -> JWK | None:
    try:
        key: object = JWK.from_json(account["key"])
    except (KeyError, ValueError, TypeError, JoseError):
        return None
    return key if isinstance(key, JWKEC) else None


def _detail(error: messages.Error | None) -> str:
    if error is None:
        return "no reason was given"
    code = error.code or str(error.typ)
    parts = [error.detail or "", *(one.detail or "" for one in error.subproblems or ())]
    return f"{code}: {'; '.join(filter(None, parts)) or 'no reason was given'}"


def _why(authorization: messages.Authorization) -> str:
    for one in authorization.challenges:
        if one.error is not None:
            return f"{authorization.identifier.value}: {one.chall.typ}: {_detail(one.error)}"
    return f"{authorization.identifier.value}: the authorization is {authorization.status.name}"
