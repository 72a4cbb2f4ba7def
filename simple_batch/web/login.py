"""The pages to log in, to log out and to change the own password."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user

from ..auth.guard import current_authenticator
from ..auth.sessions import ADMIN, TooManyTries
from ..core.errors import Forbidden, InvalidInput
from ..store.models import User
from .error_pages import answer
from .forms import LoginForm, PasswordForm, blame
from .labels import translated
from .own_addresses import own_address

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def page():
    """The form; ``?token=`` is the link that was printed at the start."""
    secret = request.args.get("token")
    if secret is not None:
        if current_authenticator().log_in_by_link(secret):
            return redirect(url_for("jobs_list.index"), 303)
        return answer(
            403,
            _("This link was already used or is from an earlier start. Each link works once."),
        )
    if current_user.is_authenticated or not current_authenticator().login_needed():
        return redirect(_next(), 303)
    return _page(LoginForm(formdata=None))


@blueprint.post("/login")
def enter():
    """Begin a session."""
    form = LoginForm()
    if not form.validate_on_submit():
        return _page(form), 400
    try:
        current_authenticator().log_in(form.name.data or "", form.password.data or "")
    except InvalidInput as error:
        blame(form, error)
        return _page(form), 401
    except TooManyTries as error:
        form.form_errors.append(translated(error))
        return _page(form), 429, {"Retry-After": str(error.wait_s)}
    return redirect(_next(), 303)


@blueprint.post("/logout")
def leave():
    """End the session."""
    current_authenticator().log_out()
    flash(_("You are logged out."), "success")
    return redirect(url_for("login.page"), 303)


@blueprint.route("/password", methods=["GET", "POST"])
def password():
    """Change the own password."""
    if not current_user.is_authenticated:
        raise Forbidden(_("You aren't logged in, so there is no password to change."))
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            current_authenticator().change_password(
                current_user._get_current_object(), form.old.data or "", form.password.data or ""
            )
        except InvalidInput as error:
            blame(form, error)
        except TooManyTries as error:
            form.form_errors.append(translated(error))
        else:
            flash(_("Password changed. Your other sessions have ended."), "success")
            return redirect(url_for("jobs_list.index"), 303)
    status = 400 if form.errors or form.form_errors else 200
    return render_template("login/password.html", form=form), status


def _page(form: LoginForm):
    authenticator = current_authenticator()
    if authenticator.passwords_known() and not User.select().exists() and not form.name.data:
        form.name.data = ADMIN
    return render_template(
        "login/login.html",
        form=form,
        next=_next(),
        passwords_known=authenticator.passwords_known(),
        login_possible=authenticator.login_possible(),
    )


def _next() -> str:
    """The page after the login: one of this server, or the jobs."""
    given = own_address(request.values.get("next", ""))
    is_other = bool(given) and given.partition("?")[0] != url_for("login.page")
    return given if is_other else url_for("jobs_list.index")
