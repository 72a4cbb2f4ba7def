"""Pages for API configs."""

from collections.abc import Callable
from functools import partial

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _

from .. import insight
from ..core import context, identity, price_rules
from ..core.errors import Conflict, InvalidInput, SimpleBatchError
from ..services import adjusted_parameters, config_streams, configs, price_texts, prices
from ..store.models import ApiConfig
from . import connect
from .error_pages import wants_json
from .form_keys import once
from .forms import ConfigForm, blame
from .labels import translated

blueprint = Blueprint("configs", __name__, url_prefix="/configs")

# Base URLs as their providers document them, to save typing.
KNOWN_ENDPOINTS = (
    ("OpenAI", "https://api.openai.com/v1"),
    ("DeepSeek", "https://api.deepseek.com/v1"),
    ("Qwen (DashScope)", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
    ("Moonshot", "https://api.moonshot.cn/v1"),
    ("Zhipu", "https://open.bigmodel.cn/api/paas/v4"),
    ("SiliconFlow", "https://api.siliconflow.cn/v1"),
    ("OpenRouter", "https://openrouter.ai/api/v1"),
    ("vLLM", "http://127.0.0.1:8000/v1"),
    ("Ollama", "http://127.0.0.1:11434/v1"),
)


@blueprint.get("")
def index():
    """All configs."""
    found = configs.list_all()
    spent = {}
    if identity.current().sees is None:  # it is what everybody has spent
        spent = {config.id: insight.spent_now(config) for config in found}
    return render_template("configs/list.html", configs=found, spent=spent)


@blueprint.route("/new", methods=["GET", "POST"])
@once
def new():
    """The gallery of providers; ``?form=full`` has every field of a new config."""
    if request.method == "GET" and request.args.get("form") != "full":
        return connect.gallery_page()
    form = ConfigForm() if request.method == "POST" else ConfigForm.blank()
    if form.validate_on_submit() and _saved(form, configs.create):
        return redirect(url_for("configs.index"), 303)
    return _form_page(form, None)


@blueprint.route("/<int:config_id>", methods=["GET", "POST"])
def edit(config_id: int):
    """The form for a stored config."""
    config = configs.get(config_id)
    form = ConfigForm() if request.method == "POST" else ConfigForm.of(config)
    if form.validate_on_submit() and _saved(form, partial(configs.update, config_id)):
        return redirect(url_for("configs.index"), 303)
    return _form_page(form, config)


def _saved(form: ConfigForm, save: Callable[[configs.ConfigFields], ApiConfig]) -> bool:
    """Save what the form says, and say so. False where it is refused: the form says why."""
    fields = form.fields()
    try:
        notes = configs.put_in_place(fields)
        config = save(fields)
    except InvalidInput as error:
        blame(form, error)
        return False
    flash(_("Saved “%(alias)s”.", alias=config.alias), "success")
    for note in filter(None, (*map(translated, notes), form.header_told)):
        flash(note, "info")
    return True


@blueprint.post("/<int:config_id>/delete")
def delete(config_id: int):
    """Remove a config that no job uses."""
    config = configs.get(config_id)
    try:
        configs.delete(config_id)
        flash(_("Deleted “%(alias)s”.", alias=config.alias), "success")
    except Conflict as error:
        flash(translated(error), "danger")
    return redirect(url_for("configs.index"), 303)


@blueprint.post("/<int:config_id>/forget")
def forget(config_id: int):
    """Forget how a parameter that a model rejects is sent: the next call sends it as it was."""
    model, url, parameter = (request.form.get(name, "") for name in ("model", "url", "parameter"))
    if adjusted_parameters.forget(config_id, (model, url, parameter)):
        flash(_("Undone: %(parameter)s is sent again.", parameter=parameter), "success")
    return redirect(url_for("configs.edit", config_id=config_id), 303)


@blueprint.post("/<int:config_id>/activate")
def activate(config_id: int):
    """Offer the config for new jobs again."""
    configs.set_active(config_id, True)
    return redirect(url_for("configs.index"), 303)


@blueprint.post("/<int:config_id>/deactivate")
def deactivate(config_id: int):
    """Stop offering the config for new jobs."""
    configs.set_active(config_id, False)
    return redirect(url_for("configs.index"), 303)


@blueprint.post("/<int:config_id>/test")
def test_stored(config_id: int):
    """Test a stored config from the list."""
    found = configs.test(config_id)
    if found.suggested_url:
        return redirect(connect.result_address(config_id, found), 303)
    flash(
        f"{translated(found.message)} ({found.latency_ms} ms)", "success" if found.ok else "danger"
    )
    return redirect(url_for("configs.index"), 303)


@blueprint.post("/<int:config_id>/streams/off")
def streams_off(config_id: int):
    """Call without streams again, until they are needed."""
    config_streams.switch_off(config_id)
    flash(_("Streams are off. They are switched on again when they are needed."), "success")
    return redirect(url_for("configs.edit", config_id=config_id), 303)


@blueprint.post("/test")
def test():
    """Make one small call with what stands in the form, saved or not."""
    form, config_id = ConfigForm(), request.form.get("config_id", type=int)
    result = {"ok": False, "message": "", "latency_ms": None}
    if not form.validate():
        result["message"] = _first_error(form)
    else:
        try:
            found = configs.test_fields(form.fields(), config_id)
            result = {
                "ok": found.ok,
                "message": _with_suggestion(found),
                "latency_ms": found.latency_ms,
            }
        except SimpleBatchError as error:
            result["message"] = translated(error)
    if wants_json():
        return jsonify(result)
    return _form_page(form, configs.get(config_id) if config_id else None, tested=result)


@blueprint.post("/models")
def models():
    """The endpoint's own list of models, for what stands in the form."""
    form, config_id = ConfigForm(), request.form.get("config_id", type=int)
    form.model.data = form.model.data or "-"
    found, message = [], ""
    try:
        fields = form.fields()
        fields.alias = fields.alias or "-"
        found = configs.models_of_fields(fields, config_id)
    except (SimpleBatchError, ValueError, TypeError, RecursionError) as error:
        message = translated(error) if isinstance(error, SimpleBatchError) else str(error)
    if wants_json():
        return jsonify(models=found, message=message)
    return _form_page(
        form,
        configs.get(config_id) if config_id else None,
        models=found,
        tested={"ok": not message, "message": message, "latency_ms": None} if message else None,
    )


@blueprint.post("/prices")
def known_prices():
    """Fill the prices in from the price table, for the base URL and model that stand in the form;
    they are stored only when the form is."""
    form, config_id = ConfigForm(), request.form.get("config_id", type=int)
    try:
        found = prices.known(form.base_url.data, form.model.data, form.currency.data or "")
        message = _told(found)
    except SimpleBatchError as error:
        found, message = None, translated(error)
    values = {} if found is None else _fields_of(found)
    if wants_json():
        shown = {name: "" if value is None else str(value) for name, value in values.items()}
        return jsonify(ok=found is not None, message=message, fields=shown)
    for name, value in values.items():
        form[name].process_data(value)
        form[name].raw_data = None
    config = configs.get(config_id) if config_id else None
    result = {"ok": found is not None, "message": message, "latency_ms": None}
    return _form_page(form, config, tested=result, show_more=True)


def _fields_of(found: prices.KnownPrice) -> dict:
    return {
        "currency": found.currency,
        "input_price": found.input,
        "cached_input_price": found.cached_input,
        "cache_write_price": found.cache_write,
        "output_price": found.output,
        "reasoning_price": found.reasoning,
        "price_rules": found.rules.to_json(),
    }


def _told(found: prices.KnownPrice | None) -> str:
    if found is None:
        return _("The price table has no price for this model at this base URL.")
    text = _(
        "From the price table of %(date)s (%(source)s). Check it, then save.",
        date=found.date,
        source=found.source,
    )
    rules = [f"• {translated(rule)}" for rule in price_texts.rules_in_words(found.rules)]
    return "\n".join([f"{text} {found.note}".strip(), *rules])


def _rules_of(form) -> price_rules.PriceRules:
    """The price rules that stand in the form; those that cannot be read are reported when it is saved."""
    try:
        return price_rules.from_json(form.price_rules.data or "{}")
    except InvalidInput:
        return price_rules.PriceRules()


def _form_page(form, config, tested=None, models=(), show_more=False):
    status = 400 if form.errors else 200
    page = render_template(
        "configs/form.html",
        form=form,
        config=config,
        tested=tested,
        models=models,
        show_more=show_more,
        adjustments=adjusted_parameters.of_config(config) if config else [],
        known_endpoints=KNOWN_ENDPOINTS,
        offered=_offered(form),
        rules=_rules_of(form),
        rules_in_words=price_texts.rules_in_words,
        cap_zone=context.settings().TIMEZONE or "UTC",
    )
    return page, status


def _offered(form) -> prices.KnownPrice | None:
    """What the price table would fill in where no price stands yet."""
    if form.input_price.data is not None or form.output_price.data is not None:
        return None
    try:
        return prices.known(form.base_url.data, form.model.data, form.currency.data or "")
    except SimpleBatchError:
        return None  # the look-up reports it


def _with_suggestion(found) -> str:
    """What a test has found, and the base URL to enter instead where another one answers."""
    message = translated(found.message)
    if not found.suggested_url:
        return message
    told = _("It answers under %(url)s: enter that as base URL.", url=found.suggested_url)
    return f"{message}\n{told}"


def _first_error(form) -> str:
    for name, errors in form.errors.items():
        field = form._fields.get(name)
        return f"{field.label.text if field is not None else ''}: {errors[0]}".lstrip(": ")
    return ""
