"""URLs whose passwords must be shown nowhere: malformed ones, and ones that nobody answers at."""

from collections.abc import Iterator

_PIECES = ("s3kr", "zzw9", "31337")
"""What passwords here are made of, and nothing else is."""

_PASSWORDS = (
    *("s3kr%zzw9", "s3kr%", "s3kr%00zzw9", "s3kr%ffzzw9", "s3kr%0azzw9", "s3kr%2Czzw9", "s3kr zzw9", "s3kr,zzw9"),
    *("s3kr@zzw9", "s3kr@zzw9:31337", "s3kr@31337/zzw9", "s3kr/zzw9", "31337/zzw9", "31337/zzw9@s3kr", "s3kr:zzw9"),
    *("s3kr?zzw9", "31337?zzw9", "31337?zzw9=s3kr", "s3kr@x?sslmode=zzw9", "s3kr#zzw9", "31337#zzw9", "s3kr;zzw9"),
    *("s3kr[zzw9", "s3kr]zzw9", "[s3kr]zzw9", "s3kr\\zzw9", "s3kr'zzw9", 's3kr"zzw9', "s3kr$zzw9", "s3kr{zzw9}"),
    *("s3krß\N{ACCOUNT OF}zzw9", "s3kr\udcffzzw9", "s3kr\nzzw9", "s3kr\tzzw9", "s3kr\N{LINE SEPARATOR}zzw9", "s3kr"),
)
_FORMS = (
    *("{scheme}://svc:{password}@127.0.0.1:1/{path}", "{scheme}://:{password}@127.0.0.1:1/{path}"),
    *("{scheme}://svc:{password}@/{path}", "{scheme}://svc:{password}@127.0.0.1:port/{path}"),
    *("{scheme}://svc:{password}@127.0.0.1:99999/{path}", "{scheme}://svc:{password}@127.0.0.1:¹/{path}"),
    *("{scheme}://svc:{password}@[::1/{path}", "{scheme}://svc:{password}@127.0.0.1:1/{path}/more"),
    *("{scheme}://svc@127.0.0.1:1/{path}?password={password}", "svc:{password}@127.0.0.1:1/{path}"),
    *("{scheme}://svc:{password}@a:1,b:2/{path}", "{scheme}:svc:{password}@127.0.0.1"),
)
REACHABLE = {"POSTGRES_URL": "postgresql://svc:s3kr@127.0.0.1:1/x", "REDIS_URL": "redis://svc:s3kr@127.0.0.1:1"}
_SCHEMES = {"POSTGRES_URL": ("postgresql", "x"), "REDIS_URL": ("redis", "1"), "URL": ("http", "path")}


def hostile(variable: str) -> Iterator[str]:
    """Every password in every form."""
    scheme, path = _SCHEMES[variable]
    for form in _FORMS:
        for password in _PASSWORDS:
            yield form.format(scheme=scheme, password=password, path=path)


def some(variable: str) -> list[str]:
    """URLs of several kinds: refused here, refused by a library, and one that nobody answers at."""
    scheme, path = _SCHEMES[variable]
    whole = "{scheme}://svc:{password}@127.0.0.1:1/{path}"
    forms = [(whole, "s3kr%zzw9"), (whole, "31337/zzw9"), (whole, "s3kr#zzw9"), ("{scheme}://{password}@[", "svc:s3kr")]
    return [form.format(scheme=scheme, password=password, path=path) for form, password in forms]


def environments() -> Iterator[dict[str, str]]:
    """Variables of both stores, with a URL of each kind."""
    for postgres_url, redis_url in zip(some("POSTGRES_URL"), some("REDIS_URL"), strict=True):
        yield {"POSTGRES_URL": postgres_url, "REDIS_URL": redis_url}


def leaks(text: str) -> list[str]:
    """The pieces of passwords that a text has."""
    return [piece for piece in _PIECES if piece in text]
