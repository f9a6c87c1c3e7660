//! What codes of the log mean, for people.

/// A reason in a few words.
pub(super) fn reason_short(code: &str) -> String {
    code.replace('_', " ")
}

/// A reason as a sentence.
pub(super) fn reason(code: &str) -> String {
    let sentence = match code {
        "amount_not_positive" => "The amount is not greater than zero.",
        "same_account" => "Both sides are the same account.",
        "reserved_account" => "Names that begin with @ belong to the system.",
        "unknown_from_account" => "The paying account does not exist.",
        "unknown_to_account" => "The receiving account does not exist.",
        "asset_mismatch" => "The accounts hold different assets.",
        "deadline_passed" => "The pending transfer's deadline is over.",
        "pending_not_open" => "No such pending transfer is open.",
        "amount_exceeds_pending" => "The pending transfer does not hold that much.",
        "floor_above_balance" => "The account does not have that much above the floor.",
        "linked_failed" => "Another member of the group was refused.",
        "overflow" => "The receiving balance would not fit into 64 bits.",
        "insufficient_funds" => "The paying account does not have that much.",
        _ => return format!("Reason: {}.", reason_short(code)),
    };
    sentence.to_owned()
}
