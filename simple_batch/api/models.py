"""/v1/models: the API configs, by the names that a line's ``model`` may have."""

from flask import jsonify

from ..services import configs
from . import serializers
from .auth import api_blueprint
from .errors import ApiError

blueprint = api_blueprint("models", "/v1/models")


@blueprint.get("")
def index():
    """All that are active."""
    found = [serializers.model(config) for config in configs.list_all(active=True)]
    return jsonify(object="list", data=found)


@blueprint.get("/<path:model>")
def retrieve(model: str):
    """One of them, by alias or by model name."""
    config = configs.by_model(model)
    if config is None:
        raise ApiError(
            404, f"The model {model[:100]!r} does not exist here.", "model", "model_not_found"
        )
    return jsonify(serializers.model(config))
