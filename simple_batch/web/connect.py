"""From the gallery of providers to a connected API config: choose one, enter key and model, see whether
it answers."""

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from ..core import context, remedies
from ..core.domain import Cause
from ..core.errors import ConfigurationError, InvalidInput, SimpleBatchError
from ..services import configs, connections, local_servers, provider_gallery
from ..services.connections import Connection
from ..services.other_base_urls import others
from ..services.provider_gallery import GalleryEntry
from .connect_forms import ConnectForm, RepairForm
from .error_pages import wants_json
from .form_keys import once
from .forms import blame
from .labels import translated
from .own_addresses import own_address

blueprint = Blueprint("connect", __name__, url_prefix="/configs")

GROUPS = {
    "models": lazy_gettext("Model makers"),
    "china": lazy_gettext("In China"),
    "hosts": lazy_gettext("Hosts of many models"),
    "local": lazy_gettext("Your own servers"),
}
REGIONS = {
    "global": lazy_gettext("Global"),
    "USA": lazy_gettext("USA"),
    "China": lazy_gettext("China"),
    "China (Beijing)": lazy_gettext("China (Beijing)"),
    "Singapore": lazy_gettext("Singapore"),
    "Hong Kong": lazy_gettext("Hong Kong"),
}
EXAMPLE = "chat.json"  # a few requests


def gallery_page():
    """The providers in groups; servers found on this machine come first."""
    entries = provider_gallery.all()
    groups = [
        (title, [entry for entry in entries if entry.group == group])
        for group, title in GROUPS.items()
    ]
    return render_template(
        "configs/gallery.html", groups=groups, found=local_servers.find(), next=_next()
    )


@blueprint.get("/new/<provider>")
def choose(provider: str):
    """The form for key and model. ``?base_url=`` and ``?model=`` fill in those of a server that was
    found."""
    entry = provider_gallery.get(provider)
    form = ConnectForm.offered(
        entry,
        REGIONS,
        base_url=request.args.get("base_url") or entry.base_url,
        model=request.args.get("model") or entry.default_model,
    )
    return _form_page(form, entry)


@blueprint.post("/new/<provider>")
@once
def save(provider: str):
    """Store the config and make one call."""
    entry = provider_gallery.get(provider)
    form = ConnectForm.sent(entry, REGIONS)
    if form.validate():
        try:
            fields = _entered(form, entry).fields()
            notes = configs.put_in_place(fields)
            config = configs.create(fields)
        except InvalidInput as error:
            blame(form, error)
        else:
            for note in filter(None, (*map(translated, notes), form.header_told)):
                flash(note, "info")
            return redirect(_tested(config.id), 303)
    return _form_page(form, entry)


@blueprint.post("/new/<provider>/models")
def models(provider: str):
    """The models that the endpoint lists, for what stands in the form."""
    entry = provider_gallery.get(provider)
    form = ConnectForm.sent(entry, REGIONS)
    form.base_url.data = request.form.get("use") or form.base_url.data
    found: list[str] = []
    message = suggested = ""
    try:
        found = connections.models(_entered(form, entry))
    except SimpleBatchError as error:
        message = translated(error)
        if isinstance(error, ConfigurationError):
            suggested = connections.listing_url(_entered(form, entry), error)
    except (ValueError, TypeError, RecursionError):  # see ConfigForm.fields
        form.validate()
        message = _("Correct the fields under Advanced first.")
    if wants_json():
        return jsonify(models=found, message=message, **_question(suggested))
    return _form_page(form, entry, models=found, message=message, suggested=suggested)


@blueprint.post("/new/<provider>/prices")
def prices(provider: str):
    """What the price table says of the model that stands in the form."""
    entry = provider_gallery.get(provider)
    form = ConnectForm.sent(entry, REGIONS)
    told = _prices_told(_base_url(form, entry), form.model.data or "")
    if wants_json():
        return jsonify(message=told)
    return _form_page(form, entry)


@blueprint.get("/<int:config_id>/connected")
def connected(config_id: int):
    """Whether the last test succeeded, and what can be done next."""
    config = configs.get(config_id)
    return _result_page(config, RepairForm(formdata=None, data={"model": config.model}))


@blueprint.post("/<int:config_id>/connected")
def repair(config_id: int):
    """Change key and model, and test again."""
    config = configs.get(config_id)
    form = RepairForm()
    if form.validate():
        fields = configs.fields_of(config)
        fields.key = form.key.data or None
        fields.model = form.model.data or ""
        try:
            configs.update(config_id, fields)
        except InvalidInput as error:
            blame(form, error)
        else:
            return redirect(_tested(config_id), 303)
    return _result_page(config, form)


@blueprint.post("/<int:config_id>/base-url")
def use_base_url(config_id: int):
    """Take the base URL that answered, and test again."""
    config = configs.get(config_id)
    fields = configs.fields_of(config)
    fields.base_url = _suggested(config, request.form.get("base_url", "")) or fields.base_url
    configs.update(config_id, fields)
    return redirect(_tested(config_id), 303)


@blueprint.post("/<int:config_id>/report")
def report(config_id: int):
    """A few more calls, which show what the model accepts."""
    found = configs.report(config_id)
    config = configs.get(config_id)
    return _result_page(config, RepairForm(formdata=None, data={"model": config.model}), found)


def _tested(config_id: int) -> str:
    """Make one call, which is kept as the last test. Returns the address of the page that shows it."""
    return result_address(config_id, configs.test(config_id))


def result_address(config_id: int, found: configs.probe.ProbeResult) -> str:
    """Of the page that shows what a test has found."""
    return url_for(
        "connect.connected",
        config_id=config_id,
        ms=found.latency_ms,
        cause=found.cause,
        answers=found.suggested_url or None,
        next=_next() or None,
    )


def _next() -> str:
    """Where the user came from, and goes on to: a page of this server, or empty."""
    return own_address(request.values.get("next", ""))


def _base_url(form: ConnectForm, entry: GalleryEntry) -> str:
    """The one that was entered, else that of the region."""
    entered = (form.base_url.data or "").strip()
    if entered and (entry.asks_base_url or entered not in entry.regions.values()):
        return entered
    return entry.regions.get(form.region.data or "", entry.base_url)


def _entered(form: ConnectForm, entry: GalleryEntry) -> Connection:
    return Connection(
        entry=entry,
        base_url=_base_url(form, entry),
        model=form.model.data or "",
        key=form.key.data or "",
        alias=form.alias.data or "",
        more=form.fields(),
    )


def _question(suggested: str) -> dict:
    if not suggested:
        return {}
    return {
        "suggested": suggested,
        "question": _("It answers under %(url)s: use that?", url=suggested),
    }


def _form_page(
    form: ConnectForm, entry: GalleryEntry, models=(), message: str = "", suggested: str = ""
):
    page = render_template(
        "configs/connect.html",
        form=form,
        entry=entry,
        models=models,
        message=message,
        suggested=suggested,
        priced=_prices_told(_base_url(form, entry), form.model.data or ""),
        cap_zone=context.settings().TIMEZONE or "UTC",
        next=_next(),
    )
    return page, 400 if form.errors else 200


def _result_page(config, form: RepairForm, report: configs.Report | None = None):
    page = render_template(
        "configs/connected.html",
        config=config,
        form=form,
        remedy=_remedy(config, report),
        latency_ms=request.args.get("ms", type=int) if report is None else report.result.latency_ms,
        report=report,
        suggested=_suggested(
            config,
            request.args.get("answers", "") if report is None else report.result.suggested_url,
        ),
        priced=_prices_told(config.base_url, config.model),
        example=EXAMPLE,
        next=_next(),
    )
    return page, 400 if form.errors else 200


def _suggested(config, url: str) -> str:
    """A base URL that a test has found, as the address of the page has it; empty for any other."""
    return url if url in others(config.base_url) else ""


def _remedy(config, report: configs.Report | None) -> str:
    """What to do about a failed test; the address names its cause."""
    cause = request.args.get("cause", "") if report is None else report.result.cause or ""
    if config.last_test_ok or cause not in set(Cause):
        return ""
    return translated(remedies.of_test(Cause(cause)))


def _prices_told(base_url: str, model: str) -> str:
    if not model:
        return ""
    known = connections.known_price(base_url, model)
    if known is None:
        return _(
            "The price table doesn't know this model. Costs show as unknown until you enter prices."
        )
    told = _(
        "%(input)s %(currency)s in, %(output)s %(currency)s out, per million tokens. Price table of "
        "%(date)s.",
        input=known.input,
        output=known.output,
        currency=known.currency,
        date=known.date,
    )
    return f"{told} ({known.note})" if known.note else told
