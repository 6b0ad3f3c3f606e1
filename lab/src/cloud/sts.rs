//! STS: who asks.

use super::call::{Answer, Answered, Call};
use super::refusal::Refusal;
use super::xml::{text, tree};
use super::{ACCOUNT, door, iam};

pub(super) fn answer(call: &Call) -> Answered {
    if call.action != "GetCallerIdentity" {
        return Err(Refusal::unknown(&call.action));
    }
    let told = [
        text("Arn", iam::caller()),
        text("UserId", "AIDALABORATORY000000"),
        text("Account", ACCOUNT),
    ];
    let metadata = tree("ResponseMetadata", [text("RequestId", door::request_id())]);
    Ok(Answer::Xml(tree(
        "GetCallerIdentityResponse",
        [tree("GetCallerIdentityResult", told), metadata],
    )))
}
