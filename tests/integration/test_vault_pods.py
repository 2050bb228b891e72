"""The sign-in of a pod: OpenBao asks a Kubernetes API server, of which we have a part."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.options import KubernetesSignIn, VaultOptions
from credmgr.errors import AccessDenied
from credmgr.model.names import Name
from credmgr.testing.backend_moves import promoted
from tests.integration.openbao import POLICY, certificates, context_of, dev_server


class Reviewer(BaseHTTPRequestHandler):
    """What a Kubernetes API server says of the tokens of service accounts."""

    token = ""
    reviewed: ClassVar[list[tuple[str, str | None, Any]]] = []

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reviewed.append((self.path, self.headers["Authorization"], asked["spec"]))
        user = {"username": "system:serviceaccount:credmgr:app", "uid": "u1"}
        good = {"authenticated": True, "user": user, "audiences": ["bao"]}
        status = good if asked["spec"]["token"] == self.token else {"authenticated": False}
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        raw = json.dumps({**kind, "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def reviewer() -> Iterator[str]:
    """The address of an API server that reviews tokens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Reviewer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pod_token(name: str) -> str:
    """As the kubelet puts it into a pod."""
    account = {"namespace": "credmgr", "serviceaccount": {"name": name, "uid": "u1"}}
    claims = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": f"system:serviceaccount:credmgr:{name}",
        "aud": ["bao"],
        "iat": 1_700_000_000,
        "exp": 4_000_000_000,
        "kubernetes.io": account,
    }
    return jwt.encode({"alg": "RS256"}, claims, RSAKey.generate_key(2048))


def test_a_pod_signs_in_and_another_account_does_not(tmp_path: Path, reviewer: str) -> None:
    certificates(tmp_path)
    config = {
        "kubernetes_host": reviewer,
        "kubernetes_ca_cert": (tmp_path / "srv.pem").read_text(),
        "token_reviewer_jwt": "the-reviewer",
        "disable_local_ca_jwt": True,
    }
    role = {
        "bound_service_account_names": ["app"],
        "bound_service_account_namespaces": ["credmgr"],
        "audience": "bao",
        "token_policies": ["credmgr"],
    }
    place, name = tmp_path / "jwt", Name("pods/app")
    Reviewer.token = pod_token("app")
    place.write_text(f"{Reviewer.token}\n")
    with dev_server() as bao:
        bao.policy("credmgr", POLICY.read_text())
        bao.ask("POST", "sys/auth/k8s", {"type": "kubernetes"})
        bao.ask("POST", "auth/k8s/config", config)
        bao.ask("POST", "auth/k8s/role/app", role)
        options = VaultOptions(bao.address, kubernetes=KubernetesSignIn("app", "jwt", "k8s"))

        one = VaultBackendFactory().open(options, context_of(tmp_path))
        promoted(one, name, "one")
        place.unlink()
        assert one.read(name).secret.reveal() == "one", "signed in is signed in"
        one.close()

        for forged in (pod_token("app"), pod_token("other")):
            place.write_text(forged)
            other = VaultBackendFactory().open(options, context_of(tmp_path))
            with pytest.raises(AccessDenied, match="auth/k8s/login: the server does not accept"):
                other.read(name)
            other.close()

    path, bearer, spec = Reviewer.reviewed[0]
    assert (path, bearer) == ("/apis/authentication.k8s.io/v1/tokenreviews", "Bearer the-reviewer")
    assert spec["token"] == Reviewer.token
