"""A long reply in several scripts, for an upstream that says it a character at a time."""

import json

POEM = (
    'سلام، دنیا! 🎈👩\u200d👩\u200d👧 «نقل\u200cقول» "quoted" \u2028\u2029\x85 \\ back\r\n'
    "بنی\u200cآدم\rاعضای یک پیکرند\n\n"
)


def chunks(text: str) -> list[bytes]:
    """The writes of an OpenAI-compatible provider: a code point each, then the end."""
    deltas = [_chunk({"content": character}) for character in text]
    return [*deltas, _chunk({}, "stop"), b"data: [DONE]\n\n"]


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000}
    return f"data: {json.dumps({**head, 'model': 'echo', 'choices': [choice]})}\n\n".encode()
