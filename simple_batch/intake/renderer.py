"""Makes a request of each row of a table, by a template.

What goes wrong with one row is that row's fault.
"""

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec
from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateSyntaxError, nodes

from ..core.clock import give_way
from ..core.domain import IMAGE, Fault, Request
from ..core.errors import InvalidInput
from ..core.messages import Message, translatable
from ..core.nearest_name import nearest
from ..core.prompt_prefix import prefix_of
from ..core.settings import Settings
from .images import Image, name_of
from .request_checks import MAX_CUSTOM_ID, TOO_LONG, Bad, check_messages, check_text
from .sandbox import BoundedEnvironment
from .table import Row
from .template import CHAT, FIELD, PLACES, Template, check_parameters, check_texts, name_and_sign
from .template_faults import explained, failure

_NUMBER = re.compile(r"-?(0|[1-9]\d{0,29})(\.\d{1,30})?([eE][-+]?\d{1,3})?")
_LEFT_OUT = object()
_ADDRESS = re.compile(r"https?://|data:image/", re.IGNORECASE)
MAX_IMAGES = 500  # of one request
# What finds the image of a name (images.name_of); raises Bad where there is none.
Finder = Callable[[str], Image]
_Values = dict[str, Any]  # of a row, by the names that Jinja takes


class Renderer:
    """A template over the columns of a table, with the images beside it, if there are any. Raises
    InvalidInput naming the field (``user``, ``system``, ``images``, ``parameters``, ``custom_id``)
    that does not fit the columns."""

    def __init__(
        self,
        template: Template,
        columns: Sequence[str],
        settings: Settings,
        find_image: Finder | None = None,
    ):
        self._find_image = find_image
        self._env = BoundedEnvironment()
        self._columns = list(columns)
        self._names = _variables(self._columns)
        self._variable = dict(zip(self._columns, self._names, strict=True))
        self._trees: list[nodes.Template] = []  # of all texts
        self._by_name = False  # whether row["…"] is used
        self._longest = settings.MAX_REQUEST_BYTES
        self._url = template.url
        check_texts(template)
        self._user = self._compiled(template.user, "user")
        self._system = (
            self._compiled(template.system, "system") if template.system.strip() else None
        )
        self._images = [
            (self._label(text), self._compiled(text, "images"))
            for text in template.images
            if text.strip()
        ]
        check_parameters(template, settings.MAX_NESTING)
        self._parameters = self._object_of(template.parameters)
        self._id_column = self._id(template.custom_id)
        self._conversation = self._place(template.conversation, "conversation")

    def request(self, row: Row, ordinal: int, index: int) -> Request | Fault:
        """``ordinal`` counts the table's rows from 1, ``index`` the good ones from 0."""
        try:
            body = self._body(row.cells)
            custom_id = self._custom_id(row.cells)
        except Bad as bad:
            return Fault(row.line, bad.code, bad.message, unit=row.unit)
        cells = _json(row.cells if row.kept is None else row.kept)
        return Request(
            index,
            custom_id or f"request-{ordinal}",
            body,
            self._url,
            row.line,
            cells=cells,
            prefix=prefix_of(self._url, body),
        )

    def _custom_id(self, cells: list[str]) -> str:
        if self._id_column is None:
            return ""
        custom_id = cells[self._id_column].strip()
        if len(custom_id) > MAX_CUSTOM_ID:
            raise Bad(
                "invalid_request",
                translatable(
                    "column “%(name)s”: over %(most)s characters.",
                    name=self._columns[self._id_column],
                    most=MAX_CUSTOM_ID,
                ),
            )
        return custom_id

    def _body(self, cells: list[str]) -> bytes:
        values: dict[str, Any] = dict(zip(self._names, cells, strict=True))
        if self._by_name:
            values["row"] = dict(zip(self._columns, cells, strict=True))
        self._env.begin()
        try:
            user = self._user(values)
            system = self._system(values) if self._system is not None else ""
            named = [(label, text(values)) for label, text in self._images]
            parameters = self._parameters(values)
        except Bad:
            raise
        except Exception as error:  # whatever an expression of the user's may raise
            columns = {name: column for column, name in self._variable.items()}
            why = translatable("%(complaint)s.", complaint=failure(error, self._trees, columns))
            raise Bad(
                "template_error", translatable("the template fails: %(error)s", error=why)
            ) from None
        if not user.strip() and self._conversation is None:
            raise Bad(
                "invalid_request",
                translatable("the user message comes out empty: fill in its columns."),
            )
        pictures, more = self._pictures(named) if named else ((), 0)
        content = _content(self._url, user, system, pictures)
        if self._conversation is not None:
            content = self._with_conversation(cells[self._conversation], content, user)
        body = _json({**content, **parameters})
        if len(body) + more > self._longest:
            raise Bad("invalid_request", TOO_LONG)
        return body

    def _with_conversation(
        self, cell: str, content: dict[str, Any], user: str
    ) -> dict[str, object]:
        """The messages of a cell, after the system message and before the user's, where there are
        any."""
        assert self._conversation is not None
        raw = cell.encode("utf-8", "surrogatepass").strip()
        try:
            check_text(raw)
            check_messages(raw or b"null")
        except Bad as bad:
            name = self._columns[self._conversation]
            message = translatable("column “%(name)s”: %(wrong)s", name=name, wrong=bad.message)
            raise Bad(bad.code, message) from None
        ours = content["messages"]
        behind = ours[-1:] if user.strip() else []
        before = [message for message in ours if message["role"] == "system"]
        parts = [*map(_json, before), raw[1:-1].strip(), *map(_json, behind)]
        return {"messages": msgspec.Raw(b"[" + b",".join(parts) + b"]")}

    def _pictures(self, named: Sequence[tuple[str, str]]) -> tuple[list[str], int]:
        """The addresses of a request's images, and by how many bytes they grow when they are
        sent."""
        found, more = [], 0
        for label, text in named:
            for name in filter(None, map(str.strip, text.splitlines())):
                url = name
                if not _ADDRESS.match(name):
                    image = self._image(label, name)
                    url = IMAGE + image.file
                    more += image.sent - len(url)
                found.append(url)
                if len(found) > MAX_IMAGES:
                    raise Bad(
                        "invalid_request",
                        translatable(
                            "%(label)s: over %(most)s images in one request.",
                            label=label,
                            most=MAX_IMAGES,
                        ),
                    )
        return found, more

    def _image(self, label: str, name: str) -> Image:
        try:
            clean = name_of(name)
            if self._find_image is None:
                raise Bad(
                    "invalid_image",
                    translatable(
                        "“%(name)s”: no images were given beside the table", name=name[:200]
                    ),
                )
            return self._find_image(clean)
        except Bad as bad:
            message = translatable("%(label)s: %(wrong)s.", label=label, wrong=bad.message)
            raise Bad(bad.code, message) from None

    # --- making it ready --------------------------------------------------------------------------

    def _compiled(self, source: str, field: str) -> Callable[[_Values], str]:
        """A function that renders the text."""
        rewritten = FIELD.sub(self._named, source)
        try:
            tree = self._env.checked(rewritten)
            give_way()
            self._refuse_unknown(tree, field)
            give_way()
            python = self._env.compile(tree, raw=True)
            give_way()
            code = compile(python, "<template>", "exec")
            template = JinjaTemplate.from_code(self._env, code, self._env.globals)
        except TemplateSyntaxError as error:
            why, line = explained(
                error, source, self._columns, self._env.filters, self._is_readable
            )
            raise InvalidInput(
                translatable("line %(line)s of the template: %(error)s", line=line, error=why),
                field,
            ) from None
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            raise InvalidInput(
                translatable("The template cannot be read: it is too large, or nested too deeply."),
                field,
            ) from None
        self._trees.append(tree)
        render, context, charge = template.root_render_func, template.new_context, self._env.charge

        def rendered(values: _Values) -> str:
            pieces = []
            for piece in render(context(values)):
                charge(len(piece))
                pieces.append(piece)
            return "".join(pieces)

        return rendered

    def _is_readable(self, tag: str) -> bool:
        try:
            BoundedEnvironment().parse(FIELD.sub(self._named, tag))
        except TemplateSyntaxError:
            return False
        return True

    def _label(self, text: str) -> Message:
        """How a text of the images is called in a fault."""
        field = FIELD.fullmatch(text.strip())
        column = name_and_sign(field)[0] if field is not None else ""
        if column in self._variable:
            return translatable("column “%(name)s”", name=column)
        return translatable("image “%(text)s”", text=text.strip()[:80])

    def _named(self, field: re.Match[str]) -> str:
        """A field that holds just a column's name, with a name that Jinja takes."""
        before, (name, after) = field[1], name_and_sign(field)
        if name not in self._variable:
            return field[0]
        return f"{{{{{before} {self._variable[name]} {after}}}}}"

    def _refuse_unknown(self, tree: nodes.Template, field: str) -> None:
        known = {*self._names, *self._env.globals, "row"}
        used = self._env.undeclared(tree)
        self._by_name = self._by_name or "row" in used
        for name in sorted(used - known):
            line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)
            raise InvalidInput(
                translatable(
                    "line %(line)s of the template: there is no column “%(name)s”; the nearest is "
                    "“%(nearest)s”.",
                    line=line,
                    name=name,
                    nearest=nearest(name, self._columns),
                ),
                field,
            )

    def _object_of(self, value: dict[str, Any]) -> Callable[[_Values], dict[str, object]]:
        """A function that fills in the parameters."""
        parts = {name: self._value_of(part) for name, part in value.items()}

        def filled(values: _Values) -> dict[str, object]:
            made = ((name, part(values)) for name, part in parts.items())
            return {name: part for name, part in made if part is not _LEFT_OUT}

        return filled

    def _value_of(self, value: object) -> Callable[[_Values], object]:
        """The same for one of them, whatever it is made of."""
        if isinstance(value, dict):
            return self._object_of(value)
        if isinstance(value, list):
            items = [self._value_of(part) for part in value]

            def listed(values: _Values) -> list[object]:
                made = (part(values) for part in items)
                return [part for part in made if part is not _LEFT_OUT]

            return listed
        if not isinstance(value, str) or "{" not in value:
            return lambda values: value
        field = FIELD.fullmatch(value.strip())
        column = name_and_sign(field)[0] if field is not None else ""
        if column in self._variable:
            name = self._variable[column]
            return lambda values: _plain(values[name])
        return self._compiled(value, "parameters")

    def _id(self, column: str | None) -> int | None:
        if column is None:
            return self._columns.index("custom_id") if "custom_id" in self._columns else None
        return self._place(column, "custom_id")

    def _place(self, column: str, field: str) -> int | None:
        """Where a column stands; None without one."""
        if not column:
            return None
        if column not in self._columns:
            raise InvalidInput(
                translatable(
                    "There is no column “%(column)s”; the nearest is “%(nearest)s”.",
                    column=column,
                    nearest=nearest(column, self._columns),
                ),
                field,
            )
        return self._columns.index(column)


_json = msgspec.json.Encoder().encode


def _variables(columns: list[str]) -> list[str]:
    """Names of columns as Jinja takes them: those that it does not are numbered."""
    words = {"row", "loop", "true", "false", "none", "True", "False", "None", "not", "and", "or"}
    words |= {"in", "is", "if", "else", "self", "range", "context", "environment"}
    free = (name for n in count(1) if (name := f"column_{n}") not in columns)
    return [name if name.isidentifier() and name not in words else next(free) for name in columns]


def _content(url: str, user: str, system: str, pictures: Sequence[str]) -> dict[str, object]:
    """A request's body with nothing but its texts and the addresses of its images."""
    if url == CHAT:
        message = {"role": "user", "content": _chat_content(user, pictures)}
        before = [{"role": "system", "content": system}] if system.strip() else []
        return {"messages": [*before, message]}
    place, system_place = PLACES[url]
    content: dict[str, object] = {place: _input(user, pictures)}
    if system_place is not None and system.strip():
        content[system_place] = system
    return content


def _chat_content(user: str, pictures: Sequence[str]) -> object:
    if not pictures:
        return user
    parts = [{"type": "image_url", "image_url": {"url": picture}} for picture in pictures]
    return [{"type": "text", "text": user}, *parts]


def _input(user: str, pictures: Sequence[str]) -> object:
    if not pictures:
        return user
    parts = [{"type": "input_image", "image_url": picture} for picture in pictures]
    return [{"role": "user", "content": [{"type": "input_text", "text": user}, *parts]}]


def _plain(cell: str) -> object:
    """A cell as a parameter: a number as one, exactly as it stands; an empty one is left out."""
    text = cell.strip()
    if not text:
        return _LEFT_OUT
    return msgspec.Raw(text) if _NUMBER.fullmatch(text) else cell
