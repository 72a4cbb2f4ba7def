"""The part of the workbench that no other step has: on which rows a prompt is tried, and over which
connections besides that of the job."""

from flask_babel import lazy_gettext as _
from wtforms import SelectField, StringField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import NumberRange, Optional

from ..core.errors import InvalidInput
from ..services.sample_rows import MAX_ROWS, MAX_SEED, ROWS, Choice, numbers_of
from .form_fields import PageForm, WholeField
from .labels import translated

_MODES = {
    "first": _("First rows"),
    "random": _("Random rows"),
    "picked": _("Rows by number"),
    "empty": _("Rows with empty cells"),
    "failed": _("Failed and badly rated rows first"),
}


class SampleForm(PageForm):
    """Sample rows and connections."""

    mode = SelectField(_("Sample"), default="first", validate_choice=False)
    count = WholeField(_("Number of rows"), [Optional(), NumberRange(1, MAX_ROWS)], default=ROWS)
    random_seed = WholeField(
        _("Seed of the sample"), [Optional(), NumberRange(0, MAX_SEED)], default=1
    )
    rows = StringField(_("Row numbers"))
    compare_1 = SelectField(_("Compare with"), coerce=int, default=0, validate_choice=False)
    compare_2 = SelectField(_("And with"), coerce=int, default=0, validate_choice=False)

    def validate_rows(self, field) -> None:
        if self.mode.data == "picked":
            try:
                numbers_of(field.data or "")
            except InvalidInput as error:
                raise ValidationError(translated(error)) from None

    def offering(self, modes: list[str], configs: list[tuple[int, str]]) -> "SampleForm":
        """With these ways to choose rows, and these connections."""
        self.mode.choices = [SelectChoice(mode, _MODES[mode]) for mode in modes]
        if self.mode.data not in modes:
            self.mode.data = modes[0]
        for field in (self.compare_1, self.compare_2):
            field.choices = [(0, _("none")), *configs]
            if field.data not in {value for value, _label in configs}:
                field.data = 0
        return self

    @property
    def choice(self) -> Choice:
        """How the rows are chosen; what does not matter for that is left out."""
        mode = self.mode.data or "first"
        if mode == "picked":
            return Choice(mode, 1, rows=(self.rows.data or "").strip())
        count = max(1, min(self.count.data or ROWS, MAX_ROWS))
        seed = self.random_seed.data if mode == "random" else None
        return Choice(mode, count, 1 if seed is None else seed)

    @property
    def compared(self) -> list[int]:
        """Ids of the connections besides that of the job."""
        return [value for value in (self.compare_1.data, self.compare_2.data) if value]
