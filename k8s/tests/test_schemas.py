"""Every document is valid in the oldest and the newest supported version of Kubernetes."""

import json

import kubernetes_validate
import pytest
from manifests import K8S, OVERLAYS, Combination, Manifests, build

_OLDEST, _NEWEST = "1.30.0", "1.37.0"


@pytest.mark.parametrize("version", [_OLDEST, _NEWEST])
def test_every_combination_is_valid(built: dict[Combination, Manifests], version: str) -> None:
    # Combinations share most documents.
    documents = {
        json.dumps(document): (document, combination)
        for combination, manifests in built.items()
        for document in manifests.documents
    }
    for document, combination in documents.values():
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{document['kind']} {document['metadata']['name']} of {combination}: {error.message}")


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_overlay_is_built_where_it_stands(name: str) -> None:
    assert build(K8S / "overlays" / name).names("Deployment") == {"gateway", "feature-server"}


def test_no_document_is_there_twice(built: dict[Combination, Manifests]) -> None:
    for combination, manifests in built.items():
        names = [(document["kind"], document["metadata"]["name"]) for document in manifests.documents]
        assert len(names) == len(set(names)), combination


def test_everything_but_the_namespace_is_in_the_namespace(whole: Manifests) -> None:
    (namespace,) = whole.names("Namespace")
    for document in whole.documents:
        if document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] == namespace, document["metadata"]["name"]
