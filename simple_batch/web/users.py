"""Who may log in, for admins."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user

from ..auth import users
from ..core.domain import Role
from ..core.errors import Conflict, InvalidInput
from ..core.messages import translatable
from ..store.models import User
from .form_keys import once
from .forms import UserForm, blame
from .labels import translated

blueprint = Blueprint("users", __name__, url_prefix="/users")


@blueprint.get("")
def index():
    """All users, and the form for a new one."""
    form = UserForm(formdata=None)
    if not users.any_there():
        form.role.data = Role.ADMIN.value
    return _page(form)


@blueprint.post("")
@once
def create():
    """Make a user."""
    form = UserForm()
    if form.validate_on_submit():
        try:
            first = not users.any_there()
            if first and form.role.data != Role.ADMIN:
                raise InvalidInput(translatable("The first user must be an admin."), "role")
            user = users.create(form.name.data or "", form.password.data or "", form.role.data)
        except InvalidInput as error:
            blame(form, error)
        else:
            flash(_("“%(name)s” can log in now.", name=user.name), "success")
            if first:
                flash(_("From now on, everyone must log in."), "warning")
            return redirect(url_for("users.index"), 303)
    return _page(form), 400


@blueprint.post("/<int:user_id>/<any(role, password, disable, enable, remove):action>")
def change(user_id: int, action: str):
    """Change what the form says."""
    user = users.get(user_id)
    try:
        _change(user, action)
    except (Conflict, InvalidInput) as error:
        flash(translated(error), "danger")
    else:
        flash(_("“%(name)s” was changed. Earlier sessions have ended.", name=user.name), "success")
    return redirect(url_for("users.index"), 303)


def _change(user: User, action: str) -> None:
    if action == "password":
        users.set_password(user.id, request.form.get("password", ""))
        return
    if user.id == getattr(current_user, "user", None):
        raise Conflict(translatable("You can't do this to your own account."))
    if action == "role":
        users.set_role(user.id, request.form.get("role", ""))
    else:
        {"disable": users.disable, "enable": users.enable, "remove": users.remove}[action](user.id)


def _page(form: UserForm):
    return render_template("users.html", form=form, users=users.listed(), roles=list(Role))
