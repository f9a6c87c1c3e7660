"""What JSON Schema cannot say: how values of our own formats are made."""

import json

import schemathesis
from hypothesis import strategies as st

# A schema counts characters, the server counts bytes of UTF-8. Control characters and lone surrogates are no names.
_characters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
_account_ids = st.text(_characters, min_size=1, max_size=64).filter(lambda text: len(text.encode()) <= 64)
# Few short names beside all names, so that requests meet accounts that are there.
schemathesis.openapi.format("account-id", st.sampled_from(["alice", "bob", "carol", "Zoë", "a b/c"]) | _account_ids)

# A header is bytes, and blanks at its ends are not part of it.
_visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
schemathesis.openapi.format("idempotency-key", st.text(_visible, min_size=1, max_size=255))


# Metadata is bounded in bytes of its shortest form.
_METADATA_BYTES_MAX = 1_024


def _whole(value):
    """To JSON Schema 9.0 is an integer, to the server it is a number with a fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(element) for element in value]
    if isinstance(value, dict):
        return {name: _whole(element) for name, element in value.items()}
    return value


def _shorten(command):
    """Leaves out metadata that is too large."""
    text = json.dumps(command.get("metadata"), ensure_ascii=False)
    if len(text.encode("utf-8", "replace")) > _METADATA_BYTES_MAX:
        del command["metadata"]


def _loosen(items):
    """A group ends before the batch does, and has no id twice."""
    ids = set()
    for item in items:
        if isinstance(item, dict):
            ids.add(item.get("transaction_id"))
    if items and (len(ids) < len(items) or len(items) > 512):
        for item in items:
            if isinstance(item, dict):
                item.pop("linked", None)
    if items and isinstance(items[-1], dict):
        items[-1].pop("linked", None)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps to rules of well-formed requests that a schema cannot say; malformed requests stay as they are."""
    if case.meta is None or case.meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return
    if not isinstance(case.body, (dict, list)):
        return
    case.body = _whole(case.body)
    if isinstance(case.body, list):
        for item in case.body:
            if isinstance(item, dict):
                _shorten(item)
        _loosen(case.body)
        return
    _shorten(case.body)
    # The id in the header and the id in the body must be the same one.
    if "transaction_id" in case.body and case.headers is not None and "Idempotency-Key" in case.headers:
        del case.headers["Idempotency-Key"]
