"""`python access_cost.py [--quick]` prints what checked callers and TLS cost, in calls a second and the gateway's CPU.

The script needs a running stack whose `.local/env` has been exported. Three gateways in front of its first feature
server are asked in turns: one as by default; one with a token, a policy with both rates, a list of HTTP hosts and a
port of its own for probes; and the same with TLS. 64 tasks of one process call with the project's client, which merges
calls or does not, each call for another user, without a pause. Ratios are those of a round; `--quick` has two rounds.
"""

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median

import grpc
import psutil
import trustme
import uvloop
from compared_gateways import BIN, BOUND_S, Arm, Call, gateway, measure_in_turns, stored_users
from streamflow_features import AsyncFeatureClient, ConnectionOptions
from streamflow_local import ports

_ROUNDS = 2 if "--quick" in sys.argv[1:] else 9
_POLICY = """
[identities."token:churn-service"]
feature_services = ["*"]
calls_per_s = 1000000
users_per_s = 1000000
"""


@asynccontextmanager
async def _client(
    target: str, *, merging: bool, token: str | None = None, authority: bytes | None = None
) -> AsyncIterator[Call]:
    options: ConnectionOptions = {}
    if token is not None:
        options["authorization"] = token
    if authority is not None:
        options["credentials"] = grpc.ssl_channel_credentials(authority)
    async with AsyncFeatureClient(target, timeout_s=BOUND_S, merge_calls=merging, **options) as client:

        async def call(user: str) -> None:
            features = await client.get_user_features(user)
            list(features.values())

        yield call


def _arm(running: tuple[psutil.Popen, int], merging: bool, token: str | None = None, ca: bytes | None = None) -> Arm:  # noqa: FBT001
    process, port = running
    return Arm(process, partial(_client, f"localhost:{port}", merging=merging, token=token, authority=ca))


def main() -> None:
    """Measure in turns."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "policy.toml").write_text(_POLICY)
        tokens = folder / "tokens"
        added = [str(BIN / "feature-gateway-tokens"), "--file", str(tokens), "add", "churn-service"]
        token = subprocess.run(added, check=True, capture_output=True, text=True).stdout.split()[-1]
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        checked = {
            "GATEWAY_AUTH": "token",
            "GATEWAY_TOKENS_FILE": str(tokens),
            "GATEWAY_POLICY_FILE": str(folder / "policy.toml"),
            "GATEWAY_HTTP_HOSTS": "localhost",
            "GATEWAY_ADMIN_PORT": str(ports.free_port()),
        }
        with_tls = checked | {
            "GATEWAY_ADMIN_PORT": str(ports.free_port()),
            "GATEWAY_TLS_CERT_FILE": str(folder / "certificate.pem"),
            "GATEWAY_TLS_KEY_FILE": str(folder / "key.pem"),
        }
        open_, checked_, tls = (stack.enter_context(gateway(each)) for each in ({}, checked, with_tls))
        header, ca = f"Bearer {token}", authority.cert_pem.bytes()
        arms = {
            f"{name}, {'merged' if merging else 'not merged'}": arm
            for merging in (True, False)
            for name, arm in {
                "open": _arm(open_, merging),
                "checked": _arm(checked_, merging, header),
                "checked, TLS": _arm(tls, merging, header, ca),
            }.items()
        }
        uvloop.run(measure_in_turns(arms.values(), stored_users(), rounds=_ROUNDS))
    for name, arm in arms.items():
        base = arms["open, " + name.rpartition(", ")[2]]
        ratios = [mine / theirs for mine, theirs in zip(arm.rates, base.rates, strict=True)]
        cpu = [mine / theirs for mine, theirs in zip(arm.cpu_us, base.cpu_us, strict=True)]
        sys.stdout.write(
            f"{name}: {median(arm.rates):,.0f} calls/s, {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
            f"gateway {median(arm.cpu_us):.0f} µs of CPU a call, {median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})\n"
        )


if __name__ == "__main__":
    main()
