//! Every problem code that an answer can carry.

/// A kind of error answer: what RFC 9457 calls a problem type. The answer's `type` is `/problems#CODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The word in the answer's `code`; it never changes its meaning.
    pub(crate) code: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The answer's `title`: what is wrong, in general. The answer's `detail` says it of the one request.
    pub(crate) title: &'static str,
    /// What the client does about it.
    pub(crate) what_to_do: &'static str,
}

/// The kind of problem with this code, if there is one.
pub(crate) fn problem(code: &str) -> Option<&'static Problem> {
    PROBLEMS.iter().find(|problem| problem.code == code)
}

const fn of(code: &'static str, status: u16, title: &'static str, what_to_do: &'static str) -> Problem {
    Problem { code, status, title, what_to_do }
}

/// All kinds of problems, by status. The refusals (422) stand in the order in which the ledger looks for them.
pub(crate) static PROBLEMS: &[Problem] = &[
    of(
        "malformed_json",
        400,
        "The body is not one JSON object",
        "Send one JSON object in UTF-8, with nothing before or behind it. No transaction id is used up.",
    ),
    of(
        "malformed_batch",
        400,
        "The compact body of a batch is not one",
        "Correct what stands at the byte that `byte` names; nothing of the batch was accepted.",
    ),
    of(
        "invalid_field",
        400,
        "A field has a value that it cannot have",
        "Correct the field that `field` names. Amounts are whole numbers of minor units between -2^63 and 2^63-1, written without fraction or exponent.",
    ),
    of("missing_field", 400, "A required field is missing", "Add the field that `field` names."),
    of(
        "unknown_field",
        400,
        "The body has a field that the route does not know",
        "Remove the field that `field` names, or correct its spelling.",
    ),
    of("duplicate_field", 400, "A field stands twice in the body", "Send the field that `field` names once."),
    of(
        "idempotency_key_mismatch",
        400,
        "The Idempotency-Key header and transaction_id name different transactions",
        "Send one of the two, or the same id in both.",
    ),
    of(
        "invalid_idempotency_key",
        400,
        "The Idempotency-Key header cannot be used",
        "Send the header once, with 1 to 255 bytes.",
    ),
    of(
        "invalid_query",
        400,
        "A query parameter is unknown, stands twice or has a value that it cannot have",
        "Correct the parameter that `field` names.",
    ),
    of(
        "invalid_path",
        400,
        "A part of the path cannot be what it stands for",
        "Percent-encode the part that `field` names: an account id is 1 to 64 bytes of UTF-8 without control characters, a transaction id is a hyphenated UUID.",
    ),
    of(
        "unauthorized",
        401,
        "A bearer token is needed",
        "Send `Authorization: Bearer TOKEN` with a token of the server's token file.",
    ),
    of(
        "forbidden",
        403,
        "The token's role does not allow this",
        "Use a token of a larger role: read < write < admin.",
    ),
    of(
        "cross_site",
        403,
        "A page of another site may not do this",
        "Send writes from the server's own page, or from a program that sends neither `Origin` nor `Sec-Fetch-Site`.",
    ),
    of("not_found", 404, "There is no such route", "Compare the path with /docs."),
    of(
        "account_not_found",
        404,
        "No account has this id",
        "Check the spelling: ids are compared byte by byte. An account that was opened a moment ago is there once its opening was answered.",
    ),
    of(
        "transaction_not_found",
        404,
        "No transaction has this id",
        "If its outcome is unknown, send the command again with the same id: it takes effect at most once.",
    ),
    of(
        "no_test_clock",
        404,
        "The server has no clock that can be moved",
        "Start the server with --test-clock, for tests only.",
    ),
    of(
        "account_not_yet_open",
        404,
        "The account was opened later",
        "Ask for a later sequence or time, or without one for the balance now.",
    ),
    of(
        "sequence_not_yet",
        404,
        "No record has the sequence that at_sequence names yet",
        "Ask for a smaller sequence; `sequence` of any read tells how many records there are. min_sequence waits for one.",
    ),
    of(
        "method_not_allowed",
        405,
        "The route does not take this method",
        "Use a method that the `Allow` header names.",
    ),
    of(
        "not_acceptable",
        406,
        "The route has no answer of a type that Accept names",
        "Name a type that the route has: events come as `text/event-stream` or `application/jsonl`.",
    ),
    of(
        "request_timeout",
        408,
        "The request did not arrive in time",
        "Send it again on a new connection, without pauses. Nothing of it was executed.",
    ),
    of(
        "account_exists",
        409,
        "An account with this id was opened with another body",
        "Use the account as it is (GET /v1/wallet/accounts/{account_id}), or choose another id.",
    ),
    of(
        "transaction_id_reused",
        409,
        "The transaction id belongs to another command",
        "Take a new id for a new command. To repeat a command, send exactly the same body.",
    ),
    of(
        "body_too_large",
        413,
        "The body is too large",
        "Send one command in a request; the limit is in `detail`.",
    ),
    of(
        "batch_too_large",
        413,
        "The batch has too many items",
        "Send it in parts, or as a stream; the limit is in `detail`. Nothing of it was accepted.",
    ),
    of(
        "unsupported_media_type",
        415,
        "The body is not declared as JSON",
        "Send `Content-Type: application/json`; a charset, if there is one, is utf-8.",
    ),
    of(
        "misdirected_request",
        421,
        "The Host header names somebody else",
        "Use an IP address, `localhost`, or a name that the server was started with (--host NAME).",
    ),
    of(
        "amount_not_positive",
        422,
        "Refused: the amount is not positive",
        "Send an amount of at least 1 (an opening balance of at least 0), with a new id.",
    ),
    of("same_account", 422, "Refused: both accounts are the same", "Name two accounts, with a new id."),
    of(
        "reserved_account",
        422,
        "Refused: the account belongs to the system",
        "Names that begin with @ are the ledger's own. Use another account, with a new id.",
    ),
    of(
        "deadline_passed",
        422,
        "Refused: the pending transfer would expire at once",
        "Send an `expires_at` that is later than the server's time, with a new id.",
    ),
    of(
        "unknown_from_account",
        422,
        "Refused: the paying account does not exist",
        "Open the account, then send the command with a new id: a refusal stands for ever under its id.",
    ),
    of(
        "unknown_to_account",
        422,
        "Refused: the paid account does not exist",
        "Open the account, then send the command with a new id: a refusal stands for ever under its id.",
    ),
    of(
        "pending_not_open",
        422,
        "Refused: no pending transfer with this id is open",
        "Look it up (GET /v1/wallet/transactions/{transaction_id}): there is none, or it was posted, voided or expired.",
    ),
    of(
        "asset_mismatch",
        422,
        "Refused: the assets do not fit",
        "Name two accounts of one asset, or open the account with the scale that its asset has, with a new id.",
    ),
    of(
        "amount_exceeds_pending",
        422,
        "Refused: more would be posted than is held",
        "Post the amount that is held or less, with a new id.",
    ),
    of(
        "overflow",
        422,
        "Refused: a balance would leave the range of 64 bits",
        "Send a smaller amount, with a new id.",
    ),
    of(
        "insufficient_funds",
        422,
        "Refused: the account would fall below its floor",
        "Top the account up, then send the command with a new id: a refusal stands for ever under its id.",
    ),
    of(
        "floor_above_balance",
        422,
        "Refused: the floor is above what is available, or above 0",
        "Send a floor of 0 or less that the account is not below, with a new id.",
    ),
    of(
        "linked_failed",
        422,
        "Refused: another item of the group was refused",
        "Look for the item of the group with another reason. Send the group again with new ids, without what was refused.",
    ),
    of(
        "internal_error",
        500,
        "The server failed",
        "Send the command again with the same id, and report the X-Request-Id of the answer.",
    ),
    of(
        "dead_letter",
        500,
        "The command ran out of attempts and was set aside",
        "An operator looks into it and redrives it (POST /admin/queues/commands/redrive). Then send it again with the same id.",
    ),
    of(
        "busy",
        503,
        "The command queue is full",
        "Wait for as long as `Retry-After` says, then send the command again, with the same id. The command was not enqueued and its id is not used up.",
    ),
    of(
        "too_many_streams",
        503,
        "As many event streams are open as the server allows",
        "Close a stream, or try again after `Retry-After`.",
    ),
    of(
        "not_ready",
        503,
        "The server cannot take commands now",
        "Wait until GET /health/ready answers 200; `detail` says why it does not. A command that was sent may be repeated with the same id.",
    ),
    of(
        "outcome_unknown",
        504,
        "The answer took too long; the command may still take effect",
        "Send the command again with the same id: it takes effect at most once, and the answer says what came of it.",
    ),
    of(
        "not_yet",
        504,
        "The record that min_sequence names is not there yet",
        "Ask again, or without min_sequence for what is there now.",
    ),
    of(
        "storage_full",
        507,
        "The disk has no room for the command's record",
        "Send the command again later, with the same id: it was not executed, and its id is not used up. The operator makes room on the disk; the server goes on by itself.",
    ),
];
