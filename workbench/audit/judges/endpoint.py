"""A chat endpoint that speaks OpenAI's protocol: who is asked, how fast, and with which key.

Nothing here talks to the net until `Endpoint.connect()`, which asks for `allow_network=True`. The
key is read from the environment then, and stands in no repr, message, file or cache.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from workbench.errors import BadArgument, check_count, check_number


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back.

    Args:
        text: of the first choice, "" where there is none.
        input_tokens: as the endpoint counts them, None where it does not.
        output_tokens: the same for the reply.
    """

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Which model to ask, where, and how gently. Making one does nothing on the net.

    Args:
        model: as the endpoint calls it.
        base_url: its address, http://localhost:8000/v1 say; None takes the environment's.
        url_name: environment variable with the address.
        key_name: environment variable with the key; None = the endpoint wants none.
        allow_network: must be true before anything is sent. Texts of your collection leave this
            machine then, unless the endpoint is on it.
        per_minute: requests a minute at most, retries not counted, 10..1000 usual.
        timeout: seconds to wait for one reply.
        retries: further tries after 408, 409, 429, a 5xx, a timeout or a broken connection, each
            after the wait that the endpoint asks for, else after 0.5, 1, 2 ... 8 seconds.
        price: (input, output) money per million tokens; None = unknown.

    Raises:
        BadArgument: no model, an address that is none or that holds a password, a rate, time or
            price that cannot be.

    Example:
        >>> Endpoint(model="small", base_url="http://localhost:8000/v1").connect()
        Traceback (most recent call last):
        workbench.errors.BadArgument: `allow_network` is False, but nothing is sent without it. \
Pass Endpoint(..., allow_network=True) if the texts may leave for that endpoint.

    Breaks when: the endpoint's model is replaced under the same name, or it does not accept
    temperature 0.
    """

    model: str
    base_url: str | None = None
    url_name: str = "OPENAI_BASE_URL"
    key_name: str | None = "OPENAI_API_KEY"
    allow_network: bool = False
    per_minute: float = 60.0
    timeout: float = 60.0
    retries: int = 5
    price: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("model", "url_name", "key_name"):
            value = getattr(self, name)
            if (value is not None or name != "key_name") and not (
                isinstance(value, str) and value.strip()
            ):
                raise BadArgument(name, value, "it must be a word", "See the endpoint's manual.")
        allowed: object = self.allow_network
        if not isinstance(allowed, bool):
            wanted = "it must be True or False"
            raise BadArgument("allow_network", allowed, wanted, "Write True.")
        if self.base_url is not None:
            check_address("base_url", self.base_url)
        check_number("per_minute", self.per_minute, above=0, mend="Try 60.")
        check_number("timeout", self.timeout, above=0, mend="Try 60 seconds.")
        check_count("retries", self.retries, at_least=0, mend="Try 5.")
        price: object = self.price
        if price is not None:
            if not isinstance(price, tuple) or len(price) != 2:
                wanted = "it must be (input, output) per million tokens"
                raise BadArgument("price", price, wanted, "Try (0.15, 0.60).")
            for part in price:
                check_number("price", part, at_least=0, mend="Try (0.15, 0.60).")

    def money(self, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost, None where the price is unknown."""
        if self.price is None:
            return None
        return (self.price[0] * input_tokens + self.price[1] * output_tokens) / 1e6

    def connect(self) -> Connection:
        """Read address and key, and make the client.

        Raises:
            BadArgument: the net is not allowed, or the environment lacks address or key.
        """
        if not self.allow_network:
            mend = (
                "Pass Endpoint(..., allow_network=True) if the texts may leave for that endpoint."
            )
            wanted = "nothing is sent without it"
            raise BadArgument("allow_network", self.allow_network, wanted, mend)
        address = self.base_url
        if address is None:
            address = _from_environment("url_name", self.url_name)
            check_address(self.url_name, address)
        key = "none" if self.key_name is None else _from_environment("key_name", self.key_name)
        from openai import DefaultHttpxClient, OpenAI

        client = OpenAI(
            base_url=address,
            api_key=key,
            timeout=float(self.timeout),
            max_retries=self.retries,
            http_client=DefaultHttpxClient(follow_redirects=False),  # texts go to this address only
        )
        # The environment's OPENAI_ORG_ID and OPENAI_PROJECT_ID are nobody else's business.
        client.organization = client.project = None
        return Connection(self, client, urlsplit(address).hostname or "", key)


def _from_environment(argument: str, name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise BadArgument(
            argument, name, "the environment has no such variable", f"Set {name} and try again."
        )
    return value


def check_address(argument: str, address: object) -> None:
    """Refuse what is no plain web address; one with a password in it is not repeated.

    Raises:
        BadArgument: as said.
    """
    mend = "Try http://localhost:8000/v1."
    if not isinstance(address, str):
        raise BadArgument(argument, address, "it must be a string", mend)
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    if any(sign in address for sign in "@?#"):
        wanted = "it must hold no password (@), question mark or #, for addresses are shown"
        named = f"an address of {host}" if host else "an address"
        raise BadArgument(argument, named, wanted, "Use the key's variable.")
    if parts.scheme not in ("http", "https") or not host:
        raise BadArgument(argument, address, "it must be an http or https address", mend)


class Connection:
    """An open client that keeps the pace; made by `Endpoint.connect`."""

    def __init__(self, endpoint: Endpoint, client: Any, host: str, key: str) -> None:
        self.endpoint, self.host = endpoint, host
        self._client, self._key = client, key
        self._next = 0.0

    def complete(self, system: str, user: str) -> Reply:
        """Send one prompt at temperature 0 and wait for the reply.

        Raises:
            BadArgument: the endpoint refuses the key, the model or the prompt.
            ConnectionError: it does not answer, after all retries.
        """
        import openai

        endpoint = self.endpoint
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + 60 / endpoint.per_minute
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        try:
            got = self._client.chat.completions.create(
                model=endpoint.model, messages=messages, temperature=0
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            wanted = f"{self.host} refuses that key ({error.status_code})"
            name = endpoint.key_name
            raise BadArgument("key_name", name, wanted, "Put a valid key there.") from None
        except openai.APIStatusError as error:
            told = self._shown(error)
            if 300 <= error.status_code < 400:
                wanted = f"it sends elsewhere ({error.status_code}), and texts go to no other place"
                raise BadArgument(
                    "base_url", self.host, wanted, "Give the final address."
                ) from None
            if error.status_code in (400, 404, 413, 422):
                wanted = f"{self.host} refuses the prompt ({told})"
                mend = "Check the model's name, or try a smaller batch."
                raise BadArgument("model", endpoint.model, wanted, mend) from None
            raise self._gave_up(told) from None
        except openai.APIError as error:
            raise self._gave_up(self._shown(error)) from None
        except ValueError:  # a reply that is no JSON is no answer
            return Reply(text="")
        return _reply(got)

    def _shown(self, error: Exception) -> str:
        """What the endpoint said, short and without the key."""
        status = getattr(error, "status_code", None)
        told = " ".join(str(error).replace(self._key, "[key]").split())[:200]
        return told if status is None or str(status) in told else f"{status}: {told}"

    def _gave_up(self, told: str) -> ConnectionError:
        return ConnectionError(
            f"{self.host} does not answer after {self.endpoint.retries + 1} tries: {told}. "
            "With a cache folder the answers so far are kept; call again to go on."
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def __repr__(self) -> str:
        return f"Connection({self.endpoint.model!r} at {self.host})"


def _reply(got: Any) -> Reply:
    """Text and token counts, of whatever an endpoint sends."""
    try:
        text = got.choices[0].message.content
    except (AttributeError, IndexError, TypeError):
        text = None
    usage = getattr(got, "usage", None)
    counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    whole = [count if isinstance(count, int) else None for count in counts]
    text = text if isinstance(text, str) else ""
    return Reply(text=text, input_tokens=whole[0], output_tokens=whole[1])
