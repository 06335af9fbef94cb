"""Connections to an app elsewhere: pooled, bounded, verified.

``http``, ``https`` (the certificate verified against the host's name by
service-identity), or a Unix socket.  Rule: an idle connection is given up
before a usual app server would close it, because a dispatch that meets a
closing connection cannot be told from one that was processed.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from takotwist.errors import ConfigError

#: Seconds to wait for a connection; less than a question's deadline, so that one
#: host that swallows packets still leaves time for another attempt.
CONNECT_TIMEOUT = 2.0

#: Seconds that an idle connection is kept.  gunicorn closes after 2, uvicorn and node after 5.
IDLE_TIMEOUT = 1

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@implementer(IAgent)
class _KeepingAgent:
    """Agent that keeps connections for an app that keeps them, too.

    Twisted takes the connection of an HTTP/1.0 answer for one that stays, and the app is
    closing it: the next question would be written into it, and a dispatch is not asked twice.
    So after such an answer each question has a connection of its own, until the app answers in
    HTTP/1.1 (as after a move from wsgiref's server to another).
    """

    def __init__(self, keeping: IAgent, single: IAgent) -> None:
        self._keeping = keeping
        self._single = single
        self._keeps = True

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Implement `IAgent`."""
        agent = self._keeping if self._keeps else self._single
        return agent.request(method, uri, headers, bodyProducer).addCallback(self._note)

    def _note(self, response: IResponse) -> IResponse:
        self._keeps = response.version[1:] >= (1, 1)
        return response


@implementer(IAgentEndpointFactory)
@attrs.frozen(slots=True)
class _UnixSocket:
    _reactor: object
    _path: str

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return UNIXClientEndpoint(self._reactor, self._path, timeout=CONNECT_TIMEOUT)


def app_agent(
    reactor: object,
    url: str,
    *,
    connections: int = 64,
    ca_file: Path | None = None,
    setting: str = "app.ca_file",
) -> tuple[IAgent, str, HTTPConnectionPool]:
    """Agent, address and connection pool for `url`.

    :param url: ``http://host``, ``https://host`` or ``unix:/path/of.sock``.
    :param connections: most idle connections kept.
    :param ca_file: certificates (PEM) to trust in place of the system's.
    :param setting: the key of the configuration that names this file.
    :return: the agent, the address to give it in requests, and its connections,
        whose `closeCachedConnections` belongs to the shutdown.
    :raises ConfigError: when the file has no certificate.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = connections
    pool.cachedConnectionTimeout = IDLE_TIMEOUT
    # What may be tried again is decided by who asks (`AppClient`), for every method.
    pool.retryAutomatically = False
    single = HTTPConnectionPool(reactor, persistent=False)
    if url.startswith("unix:"):
        factory = _UnixSocket(reactor, url.removeprefix("unix:").removeprefix("//"))

        def connecting(pool: HTTPConnectionPool) -> IAgent:
            agent: IAgent = Agent.usingEndpointFactory(reactor, factory, pool=pool)
            return agent

        return _KeepingAgent(connecting(pool), connecting(single)), "http://app", pool
    policy = BrowserLikePolicyForHTTPS(trustRoot=_trust_of(ca_file, setting) if ca_file else None)

    def reaching(pool: HTTPConnectionPool) -> IAgent:
        return Agent(reactor, contextFactory=policy, connectTimeout=CONNECT_TIMEOUT, pool=pool)

    return _KeepingAgent(reaching(pool), reaching(single)), url, pool


def _trust_of(ca_file: Path, setting: str) -> object:
    try:
        certificates = [Certificate.loadPEM(pem) for pem in _PEM.findall(ca_file.read_bytes())]
    except Exception as unreadable:
        raise ConfigError(str(unreadable), key=setting, source=str(ca_file)) from None
    if not certificates:
        raise ConfigError("there is no certificate in it", key=setting, source=str(ca_file))
    return trustRootFromCertificates(certificates)
