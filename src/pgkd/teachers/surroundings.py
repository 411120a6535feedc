"""What the environment says about the way to an endpoint, checked before the first call.

The HTTP library reads these variables too, and fails on them with errors that do not name them.
"""

from __future__ import annotations

import os
import ssl
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pgkd.errors import ConfigError

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SCHEMES = ("http", "https", "socks5", "socks5h")


def check_surroundings(base_url: str | None) -> None:
    """See that an address, the proxies and the certificates can be used. No value is told.

    Raises:
        ConfigError: one cannot; it names the setting or the variable.
    """
    if base_url is not None:
        try:
            urlsplit(base_url).port  # noqa: B018  (raises where it is no number)
        except ValueError as error:
            raise ConfigError(f"teacher.base_url is no address: {error}.") from None
    for name in _PROXIES:
        for variable in (name, name.lower()):
            _check_proxy(variable, os.environ.get(variable, ""))
    for variable, is_there in (("SSL_CERT_FILE", Path.is_file), ("SSL_CERT_DIR", Path.is_dir)):
        path = os.environ.get(variable)
        if path and not is_there(Path(path)):
            raise ConfigError(f"{variable} names {path}, which is not there. Mend or unset it.")
    if path := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            raise ConfigError(f"SSL_CERT_FILE: no certificates in {path}: {error}") from None


def _check_proxy(variable: str, address: str) -> None:
    if not address:
        return
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        parts.port  # noqa: B018
    except ValueError:
        raise ConfigError(f"{variable} is no address of a proxy. Mend or unset it.") from None
    if parts.scheme not in _SCHEMES:
        known = ", ".join(_SCHEMES)
        raise ConfigError(
            f"{variable} names a proxy with the scheme '{parts.scheme}'; known are {known}."
        )
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigError(
            f"{variable} names a SOCKS proxy. Run: pip install socksio; or unset {variable}."
        )
