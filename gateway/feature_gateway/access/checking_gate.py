"""Lets in those whose credentials are valid, each as the caller that the policy makes of the identity."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from streamflow_logs import Event

from feature_gateway.access.budget import Budget
from feature_gateway.access.caller import Caller
from feature_gateway.access.certificates import identity_of
from feature_gateway.access.gate import Gate
from feature_gateway.access.identity import Identity
from feature_gateway.access.passing_on import PassingOn
from feature_gateway.access.policy import Policy
from feature_gateway.access.refusals import (
    CredentialsError,
    NoKeysError,
    UnknownKeyError,
    unauthenticated,
    unverifiable,
)

_log = logging.getLogger(__name__)

_MAX_KNOWN = 8192
_MAX_BUDGETS = 16384
_MAX_TOKEN_CHARACTERS = 7168
_SCHEME = "bearer "
_LONGEST_WAIT_S = 3600.0


class CheckingGate(Gate):
    """Checks credentials, and remembers those that are valid, so that a call costs a look into a dictionary."""

    def __init__(
        self,
        *,
        token_identity: Callable[[str], Identity] | None,
        certificates: bool,
        policy: Callable[[], Policy],
        passing_on: PassingOn,
        keys_refreshed: Callable[[], Awaitable[object]] | None = None,
        now_s: Callable[[], float] = time.time,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a gate.

        `token_identity` returns whose bearer token it is, and raises CredentialsError or NoKeysError; None if no token
        is taken. `certificates` says whether one is taken instead of a token. `keys_refreshed` waits for new keys.
        `now_s` is in seconds since 1970, `clock_s` never goes back.
        """
        self.reads_certificates = certificates
        self._token_identity = token_identity
        self._policy = policy
        self._passing_on = passing_on
        self._keys_refreshed = keys_refreshed
        self._now_s = now_s
        self._clock_s = clock_s
        self._known: OrderedDict[str | bytes, Caller] = OrderedDict()
        """Callers by credentials, those that were checked last at the end."""
        self._budgets: OrderedDict[str, Budget] = OrderedDict()
        self._changed = asyncio.Event()

    def known(self, authorization: str, certificate: bytes = b"") -> Caller | None:
        """Return the caller at once, if the credentials were checked before and are still valid; otherwise None."""
        caller = self._known.get(self._read(authorization, certificate))
        return None if caller is None or caller.until_s <= self._now_s() else caller

    async def admitted(self, authorization: str, certificate: bytes = b"") -> Caller:
        """Return the caller; raise GatewayError. A token with an unknown key waits a second for new keys, at most."""
        caller = self.known(authorization, certificate)
        if caller is not None:
            return caller
        try:
            try:
                identity = self._identity(authorization, certificate)
            except UnknownKeyError:
                if self._keys_refreshed is None:
                    raise
                await self._keys_refreshed()
                identity = self._identity(authorization, certificate)
        except CredentialsError as error:
            _log.debug(Event("credentials refused", reason=error))
            raise unauthenticated() from error
        except NoKeysError as error:
            raise unverifiable() from error
        credentials = self._read(authorization, certificate)
        if isinstance(credentials, str):
            self._passing_on.remember(identity.name, credentials, identity.until_s)
        caller = self._known[credentials] = self._caller(identity)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return caller

    async def refused(self, authorization: str, certificate: bytes = b"") -> None:
        """Wait until credentials are no longer valid, and raise what `admitted` raises."""
        while True:
            changed = self._changed
            caller = await self.admitted(authorization, certificate)
            left_s = max(0.0, min(caller.until_s - self._now_s(), _LONGEST_WAIT_S))
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()

    def header_for(self, key: str) -> str:
        """Return the Authorization header of reads for an identity; empty for none."""
        return self._passing_on.header_for(key)

    def changed(self, *, policy: bool = False) -> None:
        """Check all credentials again, because tokens, keys or the `policy` have changed."""
        self._known.clear()
        self._passing_on.forget()
        if policy:
            self._budgets.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def _read(self, authorization: str, certificate: bytes) -> str | bytes:
        """Return the credentials that count: a token if tokens are taken, so that a certificate covers no wrong one."""
        return authorization if authorization and self._token_identity is not None else certificate

    def _identity(self, authorization: str, certificate: bytes) -> Identity:
        credentials = self._read(authorization, certificate)
        if isinstance(credentials, str) and self._token_identity is not None:
            if len(credentials) > _MAX_TOKEN_CHARACTERS or credentials[: len(_SCHEME)].lower() != _SCHEME:
                raise CredentialsError("the header is too long, or not of the form: Bearer TOKEN")
            identity = self._token_identity(credentials[len(_SCHEME) :].strip())
        elif isinstance(credentials, bytes) and credentials and self.reads_certificates:
            identity = identity_of(credentials)
        else:
            raise CredentialsError("there are none")
        if identity.until_s <= self._now_s():
            raise CredentialsError("they have ended")
        return identity

    def _caller(self, identity: Identity) -> Caller:
        rights = self._policy().rights_of(identity.name)
        budget = None
        if rights.calls_per_s is not None or rights.users_per_s is not None:
            budget = self._budgets.get(identity.name)
            if budget is None:
                budget = self._budgets[identity.name] = Budget(
                    calls_per_s=rights.calls_per_s, users_per_s=rights.users_per_s, now_s=self._clock_s
                )
                if len(self._budgets) > _MAX_BUDGETS:
                    self._budgets.popitem(last=False)
        return Caller(identity.name, rights, budget=budget, until_s=identity.until_s)
