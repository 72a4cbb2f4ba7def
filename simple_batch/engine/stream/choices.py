"""How many choices an answer must have."""

import msgspec


class _Asked(msgspec.Struct):
    n: int | None = None
    prompt: msgspec.Raw = msgspec.Raw()


_asked = msgspec.json.Decoder(_Asked).decode
_prompts = msgspec.json.Decoder(list[str | list[int]]).decode


def choices_asked(of_text: bool, body: bytes) -> int:
    """The number of choices that a request asks for. That of a completion (``of_text``) may have several
    prompts: texts, or lists of tokens."""
    if not of_text and b'"n":' not in body:
        return 1
    try:
        asked = _asked(body)
        prompt = bytes(asked.prompt)
        prompts = _prompts(prompt) if prompt.startswith((b'["', b"[[")) else [""]
    except msgspec.DecodeError:
        return 1  # the endpoint will say what is wrong with it
    return max(1, asked.n or 1) * max(1, len(prompts))
