"""`make up SECURE=1`: a throw-away certificate authority, the gateway's certificate, and a token for callers."""

from typing import TypedDict

import grpc
import trustme
from feature_gateway.access.token_file import TokenLine, digest_of, new_token

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.private_file import write_private

_NAME = "local"


class ClientOptions(TypedDict, total=False):
    """What a FeatureClient needs besides its target."""

    ca_file: str
    token: str


def make_credentials(layout: Layout) -> None:
    """Write certificates and a token, unless there are some; delete `tls/` and `secrets/` for new ones."""
    if not layout.certificate.exists():
        authority = trustme.CA(organization_name="streamflow local, throw-away")
        issued = authority.issue_cert("localhost", "127.0.0.1")
        layout.tls.mkdir(parents=True, exist_ok=True)
        layout.ca_file.write_bytes(authority.cert_pem.bytes())
        write_private(layout.certificate_key, issued.private_key_pem.bytes().decode())
        layout.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    if not layout.token.exists():
        token = new_token()
        write_private(layout.tokens, f"{TokenLine(_NAME, digest_of(token))}\n")
        write_private(layout.token, f"{token}\n")
        # Where curl looks for its options, with CURL_HOME.
        write_private(
            layout.curl / ".curlrc",
            f'proto-default = "https"\ncacert = "{layout.ca_file}"\nheader = "authorization: Bearer {token}"\n',
        )


def gateway_variables(layout: Layout) -> dict[str, str]:
    """Return the gateway's settings: TLS on its ports, and calls with a token alone."""
    return {
        "GATEWAY_TLS_CERT_FILE": str(layout.certificate),
        "GATEWAY_TLS_KEY_FILE": str(layout.certificate_key),
        "GATEWAY_AUTH": "token",
        "GATEWAY_TOKENS_FILE": str(layout.tokens),
    }


def shell_variables(layout: Layout) -> dict[str, str]:
    """Return what Python clients and curl go by in a shell."""
    return {
        "STREAMFLOW_FEATURES_CA_FILE": str(layout.ca_file),
        "STREAMFLOW_FEATURES_TOKEN_FILE": str(layout.token),
        "CURL_HOME": str(layout.curl),
    }


def gateway_channel(config: StackConfig, layout: Layout) -> grpc.Channel:
    """Return a channel to the stack's gateway, whose calls are let in."""
    target = f"127.0.0.1:{config.gateway_grpc_port}"
    options = client_options(config, layout)
    if not options:
        return grpc.insecure_channel(target)
    tls = grpc.ssl_channel_credentials(layout.ca_file.read_bytes())
    token = grpc.access_token_call_credentials(options["token"])
    return grpc.secure_channel(target, grpc.composite_channel_credentials(tls, token))


def client_options(config: StackConfig, layout: Layout) -> ClientOptions:
    """Return what a client of the stack's gateway needs; nothing for a stack that is not secure."""
    if not config.secure:
        return {}
    return {"ca_file": str(layout.ca_file), "token": layout.token.read_text(encoding="utf-8").strip()}
