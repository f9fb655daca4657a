"""The base URLs of feature servers, as a setting gives them."""

from urllib.parse import urlsplit

# The last ones stand for all of a host's addresses, which `upstream` resolves.
_SCHEMES = ("http", "https", "dns+http", "dns+https")


def base_urls(text: str) -> tuple[str, ...]:
    """Return the URLs of a text with commas between them; raise ValueError, which quotes none of them."""
    urls = tuple(url.strip().rstrip("/") for url in text.split(","))
    if not all(_usable(url) for url in urls):
        raise ValueError(
            "it takes http://, https://, dns+http:// or dns+https:// URLs with commas between them, "
            "such as http://HOST:PORT, without user name, password and parameters"
        )
    if len(set(urls)) < len(urls):
        raise ValueError("it names a URL twice")
    return urls


def _usable(url: str) -> bool:
    # The log names feature servers by their URLs, so that a URL must have no secret.
    if not url.isprintable() or set("@?#") & set(url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
