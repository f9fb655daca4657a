"""The fixtures of this folder's tests."""

from manifest_fixtures import built, copy, manifests, whole

__all__ = ["built", "copy", "manifests", "whole"]
