"""What JSON Schema cannot say: how values of our own formats are made."""

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


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps to two rules of well-formed requests that a schema cannot say; malformed requests stay as they are."""
    if case.meta is None or case.meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return
    if not isinstance(case.body, dict):
        return
    # To JSON Schema 9.0 is an integer, to the server it is a number with a fraction.
    for name, value in case.body.items():
        if isinstance(value, float) and value.is_integer():
            case.body[name] = int(value)
    # The id in the header and the id in the body must be the same one.
    if "transaction_id" in case.body and case.headers is not None and "Idempotency-Key" in case.headers:
        del case.headers["Idempotency-Key"]
