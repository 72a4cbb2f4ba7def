"""The program's own messages that the database keeps as English text: in results, attempts, error
groups and deliveries. Scripts, exports and the Batch API read that text as it is.

A page that shows one asks ``recognised`` for the message it was made from, and translates that. So
rows of older versions are translated too. Words of a provider or a mail server stay as they came.
"""

import re
from functools import cached_property, lru_cache

from .earlier_wordings import PRESENT
from .messages import Message, translatable

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
FROM_PROVIDER = 400  # a message beside an HTTP or SMTP status from here on is the other side's


class StoredMessage:
    """A template whose text is stored. ``ours`` are the values that are messages of this module too.
    Calling it fills the values in."""

    def __init__(self, template: str, ours: tuple[str, ...] = ()):
        self.template = template
        self.ours = ours

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pieces = _PLACEHOLDER.split(self.template)
        pieces[::2] = map(re.escape, pieces[::2])
        pieces[1::2] = [f"(?P<{name}>.*?)" for name in pieces[1::2]]
        return re.compile("".join(pieces), re.DOTALL)

    @property
    def names(self) -> list[str]:
        """The names of its values."""
        return _PLACEHOLDER.findall(self.template)

    def __call__(self, **values: object) -> Message:
        return translatable(self.template, **values)

    def read(self, text: str) -> Message | None:
        """The message that ``text`` was made from; None if it is another's."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        values = found.groupdict()
        return self(**{**values, **{name: _read(values[name], PARTS) for name in self.ours}})


MESSAGES: list[StoredMessage] = []  # stored by themselves
PARTS: list[StoredMessage] = []  # stored only within one of MESSAGES


def stored_message(template: str, ours: tuple[str, ...] = ()) -> StoredMessage:
    """Register a message. ``tools/i18n.sh`` finds the templates that stand here."""
    MESSAGES.append(StoredMessage(template, ours))
    return MESSAGES[-1]


def stored_part(template: str, ours: tuple[str, ...] = ()) -> StoredMessage:
    """Register a part of messages."""
    PARTS.append(StoredMessage(template, ours))
    return PARTS[-1]


def recognised(text: str, status: int | None = None) -> str:
    """The Message that a stored text was made from, or the text itself if it is not one of ours.
    ``status`` is the HTTP or SMTP status stored with it."""
    if isinstance(text, Message) or (status or 0) >= FROM_PROVIDER:
        return text
    return _recognised(text)


@lru_cache(maxsize=1024)
def _recognised(text: str) -> str:
    present = PRESENT.get(text, text)  # of those without values
    return _read(present if isinstance(present, str) else text, MESSAGES)


def _read(text: str, known: list[StoredMessage]) -> str:
    return next(filter(None, (message.read(text) for message in known)), text)


# --- calls that brought no answer (engine/transport.py, engine/adapter.py) --------------------

NO_ANSWER_IN_TIME = stored_message("no whole answer within %(seconds)s s")
NO_ANSWER_BEGUN = stored_message("no answer began within %(seconds)s s")
STREAM_SILENT = stored_message("the stream was silent for %(seconds)s s")
STREAM_UNENDED = stored_message("the stream ended before the answer did")
STREAM_PIECE_UNREADABLE = stored_message("a piece of the stream cannot be read")
EVERY_CALL_TIMES_OUT = stored_message("every call exceeds the time-out of %(seconds)s s")
ADDRESS_REFUSED = stored_message(
    "Nothing is sent to %(place)s: that is a private address, or one that no endpoint has. If "
    "it is meant, name it in SIMPLE_BATCH_ALLOWED_PRIVATE_HOSTS."
)
ANSWER_TOO_LARGE = stored_message("the answer is longer than %(bytes)s bytes")
UNPACKED_TOO_LARGE = stored_message("the answer unpacks to more than %(bytes)s bytes")
NOT_HTTP = stored_message("the answer is not HTTP: %(error)s")
ENDLESS_INTERIM = stored_message("the endpoint sends interim answers without end")
ENDLESS_HEADERS = stored_message("the answer's headers do not end")
CLOSED_UNANSWERED = stored_message("the endpoint closed the connection without an answer")
CLOSED_HALFWAY = stored_message("the connection ended in the middle of the answer")
UNKNOWN_ENCODING = stored_message("the answer's encoding %(encoding)s was not asked for")
DAMAGED_ENCODING = stored_message("the answer's %(encoding)s data is damaged")
TRUNCATED_ENCODING = stored_message("the answer's %(encoding)s data is truncated")
LINE_BREAK_IN_HEADER = stored_message("a header holds a line break")
UNREADABLE_IMAGE = stored_message("an image cannot be read: %(error)s (%(file)s)")

# --- providers' batch APIs (engine/batch_api/) ---------------------------------------------------

RESULTS_CUT_OFF = stored_message("the provider's file of results was not delivered whole")
DOWNLOAD_NOT_FOLLOWED = stored_message(
    "the download is redirected to an address that is not followed (%(why)s)", ours=("why",)
)
REDIRECTED_TOO_OFTEN = stored_part("too many redirects")
REDIRECTED_WITHOUT_TLS = stored_part("from https to http")
REDIRECTED_NOWHERE = stored_part("no address of a web server")
NO_BATCH_ANSWER = stored_message(
    "the answer has no “%(part)s”: does this endpoint have a batch API?"
)
RESULT_LINE_UNREADABLE = stored_message("a line of the provider's results is not valid")
LINE_NOT_RUN = stored_message(
    "the provider returned this line without a status and without an answer"
)

OS_ERRORS = (  # the operating system's words, as it gives them
    stored_message("Connection refused"),
    stored_message("Connection reset by peer"),
    stored_message("Connection timed out"),
    stored_message("Broken pipe"),
    stored_message("Network is unreachable"),
    stored_message("No route to host"),
    stored_message("Name or service not known"),
    stored_message("No address associated with hostname"),
    stored_message("Temporary failure in name resolution"),
    stored_message("Remote end closed connection without response"),
    stored_message("Too many open files"),
    stored_message("%(code)s certificate verify failed: %(why)s"),
)

# --- streams of Anthropic's Messages API, and requests that it has nothing like (engine/anthropic/) --

STREAM_UNENDED = stored_message("the stream ended before the answer did")
STREAM_PIECE_UNREADABLE = stored_message("a piece of the stream cannot be read")
NO_COUNTERPART = stored_message(
    "%(field)s: Anthropic's Messages API has nothing like it. Leave it out, or send this request "
    "to another connection."
)
NOT_TRANSLATED = stored_message(
    "%(field)s: it cannot be sent to Anthropic's Messages API: %(why)s", ours=("why",)
)
OTHER_ENDPOINT = stored_message(
    "Anthropic's Messages API answers chat completions only: send %(url)s to another connection."
)
ONLY_ADDRESSES = stored_message(
    "OpenRouter's batch API takes images and files by their address only: send this request now."
)
GEMINI_LACKS = stored_message(
    "%(field)s: Gemini's batch API has nothing like it. Leave it out, or send this request now."
)
GEMINI_TAKES_NOT = stored_message(
    "%(field)s: it cannot be sent to Gemini's batch API: %(why)s", ours=("why",)
)
NEEDS_MESSAGES_API = stored_message(
    "%(url)s is Anthropic's Messages API: send it to a connection with the API format “anthropic”."
)
NOT_A_LIST = stored_part("they are not a list")
NOT_ALL_OBJECTS = stored_part("one of them is not an object")
NO_URL = stored_part("it has no “url”")
NO_FILE = stored_part("it has neither “file_data” nor “file_id”")
NOT_UTF8 = stored_part("its text is not UTF-8 in base64")
NO_DATA_URL = stored_part("its data URL cannot be read")
NO_OBJECT_OF_ARGUMENTS = stored_part("“arguments” is not a JSON object")
TOO_FEW_TO_THINK = stored_part("thinking needs “max_tokens” above %(least)s")

# --- answers that cannot be used (engine/classify.py, engine/packed_request.py) ---------------

ERROR_INSIDE = stored_message("HTTP %(status)s with an error inside: %(error)s")
PART_MISSING = stored_message("the answer has no “%(part)s”")
EMPTY_ANSWER = stored_message("the answer is empty")
HTML_ANSWER = stored_message("the answer is an HTML page, not JSON: is the base URL right?")
NO_JSON_ANSWER = stored_message("the answer is not valid JSON (cut off, or of another kind)")
REDIRECTED = stored_message(
    "the endpoint redirects elsewhere; redirects are not followed: correct the base URL"
)
VECTORS_MISSING = stored_message(
    "the answer to %(count)s inputs has not each “index” from %(first)s to %(last)s once"
)

# --- why the calls of a config ask for streams (engine/stream/use.py) --------------------------

STREAMS_AFTER_TIMEOUT = stored_message("an answer took longer than the time-out of %(seconds)s s")
STREAMS_AFTER_GATEWAY = stored_message("a gateway gave up waiting for an answer (HTTP %(status)s)")
STREAMS_NEEDED = stored_message("the endpoint answers only with streams: %(error)s")
STREAMS_REFUSED = stored_message("the endpoint has no streams: %(error)s")

# --- answers that a job treats as failed (engine/unwanted_answer.py) ---------------------------

ANSWER_CUT_OFF = stored_message("the answer is cut off (%(reason)s)")
ANSWER_REFUSED = stored_message("the provider's filter withholds the answer (%(reason)s)")
ANSWER_EMPTY = stored_message("the answer has no text and no tool call (%(reason)s)")

# --- answers that do not match the schema (core/schema/) --------------------------------------

MODEL_REFUSES = stored_message("the model refuses: %(answer)s")
NO_MATCH = stored_message("the answer does not fit the schema: %(why)s", ours=("why",))
CUT_OFF = stored_part("%(why)s; it was cut off at max_tokens", ours=("why",))
TOO_LONG_FOR_JSON = stored_part("it is longer than %(characters)s characters")
TOO_MANY_VALUES = stored_part("it has more than %(values)s values")
SEVERAL_VALUES = stored_part("it contains %(count)s different JSON values")
SEVERAL_FIT = stored_part("it contains %(count)s different JSON values that fit")
NO_TEXT = stored_part("it is empty")
TOO_DEEP_FOR_JSON = stored_part("it is nested too deeply")
NO_JSON = stored_part("it is not JSON: %(error)s")
NO_JSON_AT = stored_part("it is not JSON (byte %(byte)s: %(excerpt)s)")
JSON_ENDS_EARLY = stored_part("its JSON ends too early")
TOO_MUCH_TO_CHECK = stored_part("it is too long to be checked against this schema")
TOO_DEEP_TO_CHECK = stored_part("it is nested too deeply to be checked")
TOO_MUCH_TO_PLACE = stored_part("it is too long for the place of the fault to be found")
FAULTS = stored_part("%(some)s; %(more)s", ours=("some", "more"))
FAULT = stored_part("%(why)s (at %(place)s)", ours=("why",))
NOTHING_ALLOWED = stored_part("nothing may be here")
UNKNOWN_PROPERTY = stored_part("“%(name)s” is no property of the schema")
NO_ALTERNATIVE = stored_part("it fits none of the %(count)s alternatives")
MANY_ALTERNATIVES = stored_part("it fits %(count)s alternatives, not one of them alone")
NO_FIT_HERE = stored_part("it does not fit here")
NO_FIT = stored_part("it does not fit %(keywords)s")

VALIDATOR_WORDS = (  # about a masked value (core/schema/validator.py)
    stored_part("the value is not of type %(type)s"),
    stored_part("the value is not of types %(types)s"),
    stored_part("the value is not one of %(values)s"),
    stored_part("%(constant)s was expected"),
    stored_part("the value is not a multiple of %(number)s"),
    stored_part("the value is greater than the maximum of %(number)s"),
    stored_part("the value is greater than or equal to the maximum of %(number)s"),
    stored_part("the value is less than the minimum of %(number)s"),
    stored_part("the value is less than or equal to the minimum of %(number)s"),
    stored_part("the value is longer than %(count)s character"),
    stored_part("the value is longer than %(count)s characters"),
    stored_part("the value is shorter than %(count)s character"),
    stored_part("the value is shorter than %(count)s characters"),
    stored_part("the value does not match %(pattern)s"),
    stored_part("the value is not a %(format)s"),
    stored_part("the value has more than %(count)s item"),
    stored_part("the value has more than %(count)s items"),
    stored_part("the value has less than %(count)s item"),
    stored_part("the value has less than %(count)s items"),
    stored_part("the value has non-unique elements"),
    stored_part("the value has more than %(count)s property"),
    stored_part("the value has more than %(count)s properties"),
    stored_part("the value has less than %(count)s property"),
    stored_part("the value has less than %(count)s properties"),
    stored_part("%(name)s is a required property"),
)

# --- requests that end without a call, and faults of this program ------------------------------

INTERRUPTED = stored_message("interrupted before the answer came")
CANCELLED = stored_message("cancelled before it was answered")
EXPIRED = stored_message("not answered before the deadline of its job")
PROGRAM_FAULT = stored_message("%(error)s in Simple Batch; see the log")
NOT_STORED = stored_message("The answer cannot be stored (%(error)s); see the log")

# --- requests that a provider's batch API cannot take (runner/part_lines.py) ---------------------

NO_BATCH_URL = stored_message(
    "The provider's batch API does not take %(url)s, only %(urls)s. Send this request in a job with the "
    "service “now”."
)
LINE_TOO_LARGE = stored_message(
    "The request has %(size)s bytes, and the provider's batch API takes at most %(limit)s. Shorten it, or "
    "send it in a job with the service “now”."
)
TOO_MANY_INPUTS = stored_message(
    "The request has %(count)s inputs, and a batch of the provider takes at most %(limit)s. Divide it, or "
    "send it in a job with the service “now”."
)

# --- webhooks and e-mails (runner/notifier.py, runner/mailer.py) -------------------------------

HOOK_UNANSWERED = stored_message("the receiver did not answer within %(seconds)s s")
HOOK_UNREACHABLE = stored_message("the receiver cannot be reached (%(error)s)")
KEY_LOST = stored_message(
    "The stored API key cannot be opened: the encryption key has changed. Restore "
    "it (SIMPLE_BATCH_ENCRYPTION_KEYS or instance/encryption.key), or enter the "
    "API key again."
)
NO_MAIL_SERVER = stored_message("no mail server is set: SMTP_HOST")
MAIL_NOT_SENT = stored_message("the e-mail could not be sent: %(error)s")

# --- input that is read in another way than it stands, or not at all (intake/, services/table_choices.py)

LEFT_OUT_INDEX = stored_message("left out: column %(number)s (no name; looks like a row index)")
LEFT_OUT_UNNAMED = stored_message("left out: column %(number)s (no name)")
LEFT_OUT_EMPTY = stored_message("left out: column %(number)s (no name, empty)")
LEFT_OUT_EMPTY_ONES = stored_message("left out: columns %(first)s to %(last)s (no name, empty)")
LEFT_OUT_PANDAS_INDEX = stored_message("left out: “%(name)s” (the row index of pandas)")
LEFT_OUT_BYTES = stored_message("left out: “%(name)s” (holds bytes that are no text)")
LEFT_OUT_BESIDE = stored_message(
    "read: the list “%(name)s”; left out: what stands beside it (%(names)s)"
)
SAME_NAMES = stored_message(
    "%(count)s columns are named “%(name)s”; here they are called %(names)s"
)
NESTED_AS_JSON = stored_message("lists and objects are given to templates as JSON: %(names)s")
NAN_IS_EMPTY = stored_message("cells that hold NaN are read as empty: %(count)s")
CONVERSATION_USED = stored_message(
    "each row is a request with the messages of its column “%(name)s”; the other columns are only kept "
    "beside the answers"
)
COLUMN_BEFORE_TEXT = stored_message(
    "The column “%(column)s” comes before fixed text. Put the fixed text first: then the provider's cache "
    "can hold about %(tokens)s more tokens of each request."
)
ID_COLUMN_USED = stored_message("custom_id: column “%(name)s”, whose values do not repeat")
ID_COLUMN_REPEATS = stored_message(
    "custom_id: numbered, because column “%(name)s” repeats “%(value)s” or is empty (row %(row)s)"
)
