"""Every document is valid in the oldest and the newest supported version of Kubernetes."""

import json

import kubernetes_validate
import pytest
from manifests import K8S, OVERLAYS, Combination, Manifests, build

_OLDEST, _NEWEST = "1.30.0", "1.37.0"


@pytest.mark.parametrize("version", [_OLDEST, _NEWEST])
def test_every_combination_is_valid(built: dict[Combination, Manifests], kept: Manifests, version: str) -> None:
    # Combinations share most documents.
    documents = {
        json.dumps(document): (document, combination)
        for combination, manifests in [*built.items(), ("namespace", kept)]
        for document in manifests.documents
    }
    for document, combination in documents.values():
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{document['kind']} {document['metadata']['name']} of {combination}: {error.message}")


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_overlay_is_built_where_it_stands(name: str) -> None:
    assert build(K8S / "overlays" / name).names("Deployment") == {"gateway", "feature-server", "apply"}


def test_no_document_is_there_twice(built: dict[Combination, Manifests]) -> None:
    for combination, manifests in built.items():
        names = [(document["kind"], document["metadata"]["name"]) for document in manifests.documents]
        assert len(names) == len(set(names)), combination


def test_everything_is_in_the_namespace(whole: Manifests, kept: Manifests) -> None:
    (namespace,) = kept.names("Namespace")
    for document in (*whole.documents, *kept.documents):
        if document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] == namespace, document["metadata"]["name"]


def test_what_holds_data_is_no_part_of_an_overlay(whole: Manifests) -> None:
    """`kubectl delete -k` deletes what an overlay names, and with a namespace all that was ever made in it."""
    assert not whole.of_kind("Namespace", "PersistentVolumeClaim", "PersistentVolume")
