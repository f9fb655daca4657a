"""Changes the apps that Feast's `get_app` makes: the seam of all that is done to the server's routes and its start."""

from collections.abc import Callable
from typing import Any

from feast import FeatureStore, feature_server

_server: Any = feature_server


def change_apps(change: Callable[[Any, FeatureStore], object]) -> None:
    """Call `change` with each app that is made in this process from now on, and with the store that the app serves."""
    get_app = _server.get_app

    def get_changed_app(store: FeatureStore, *args: Any, **kwargs: Any) -> Any:
        app = get_app(store, *args, **kwargs)
        change(app, store)
        return app

    _server.get_app = get_changed_app
