"""What the blueprints of this API have in common: who gets in, and how errors are told."""

from flask import Blueprint

from . import auth, errors


def api_blueprint(name: str, url_prefix: str) -> Blueprint:
    """A blueprint for those with a token, answering errors in OpenAI's form."""
    blueprint = Blueprint(f"openai_{name}", __name__, url_prefix=url_prefix)
    blueprint.before_request(auth.check)
    blueprint.register_error_handler(Exception, errors.answer)
    return blueprint
