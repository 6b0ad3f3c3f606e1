//! An open question with all that decides who may answer it.

use jiff::Timestamp;

use super::question::same_person;
use super::statement::{difference, statement};
use super::{Answer, Decision, People, Person, Question, Refusal, Signature};
use crate::ids::{RunId, StepId};

/// An open question with all that decides who may answer it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: &'a StepId,
    /// The login that started the run.
    pub starter: &'a str,
    /// The people whom the run knows.
    pub people: Option<&'a People>,
    /// The question.
    pub question: &'a Question,
}

impl<'a> Asked<'a> {
    /// The exact text that `answer` signs.
    pub fn statement(&self, answer: &Answer) -> String {
        statement(self, answer)
    }

    /// Those of the asked who have keys; when there is one, an answer must be signed.
    pub fn signers(&self) -> Vec<&'a Person> {
        let people = self.people.into_iter();
        let asked = people.flat_map(|people| people.asked(&self.question.request));
        asked.filter(|person| person.key.is_some()).collect()
    }

    /// Why `answer`, given at `at`, does not count.
    pub fn refusal(&self, at: Timestamp, answer: &Answer) -> Option<Refusal> {
        let checks = [Self::closed, Self::unproven, Self::not_entitled, Self::not_fitting];
        checks.iter().find_map(|check| check(self, at, answer))
    }

    /// The question takes no more answers.
    fn closed(&self, at: Timestamp, answer: &Answer) -> Option<Refusal> {
        let question = self.question;
        if !question.is_open() {
            let again =
                question.answers.iter().any(|(_, given)| same_person(&given.by, &answer.by));
            return Some(if again && answer.item.is_none() {
                Refusal::Repeated(answer.by.clone())
            } else {
                Refusal::NotAsked(self.step.to_string())
            });
        }
        question.until.filter(|_| question.has_expired(at)).map(Refusal::Expired)
    }

    /// The name is not proved although it could be, or the proof does not hold.
    fn unproven(&self, _at: Timestamp, answer: &Answer) -> Option<Refusal> {
        let Some(signed) = &answer.signed else {
            let signers: Vec<&str> = self.signers().iter().map(|p| p.name.as_str()).collect();
            let needed = !signers.is_empty() && !answer.break_glass;
            return needed.then(|| Refusal::Unsigned {
                by: answer.by.clone(),
                with_keys: signers.join(", "),
            });
        };
        let signature = match Signature::read(&signed.signature) {
            Ok(signature) => signature,
            Err(error) => return Some(Refusal::Forged(error)),
        };
        if let Err(error) = signature.verify(&signed.statement) {
            return Some(Refusal::Forged(error));
        }
        let owner = self.people.and_then(|people| people.signer(&signature));
        let Some(owner) = owner else {
            return Some(Refusal::UnknownKey(signature.fingerprint()));
        };
        if let Some(refusal) = difference(&self.statement(answer), &signed.statement) {
            return Some(refusal);
        }
        if !owner.is(&answer.by) {
            let message = format!("the key is that of `{}`, not of `{}`", owner.name, answer.by);
            return Some(Refusal::OtherAnswer(message));
        }
        (answer.claimed || signed.fingerprint != signature.fingerprint())
            .then(|| Refusal::Forged("its fingerprint is another one".to_owned()))
    }

    /// The person is not one who may give this answer.
    fn not_entitled(&self, _at: Timestamp, answer: &Answer) -> Option<Refusal> {
        if answer.break_glass {
            return self.glass(answer);
        }
        // A rejection stops, so everybody whose word is known may give it.
        if answer.decision == Decision::Rejected && self.signers().is_empty() {
            return None;
        }
        let request = &self.question.request;
        let person = self.people.and_then(|people| people.named(&answer.by));
        let own = same_person(&answer.by, self.starter)
            || person.is_some_and(|person| person.uses_login(self.starter));
        if own && !request.allow_self && answer.decision == Decision::Approved {
            return Some(Refusal::OwnRun(answer.by.clone()));
        }
        let meant = |entry: &String| match self.people {
            Some(_) => person.is_some_and(|person| person.is_meant_by(entry)),
            None => same_person(entry, &answer.by),
        };
        let listed = request.approvers.is_empty() || request.approvers.iter().any(meant);
        (!listed).then(|| Refusal::NotListed {
            by: answer.by.clone(),
            approvers: request.approvers.join(", "),
        })
    }

    /// Breaking the glass is for when all who were asked stayed silent.
    fn glass(&self, answer: &Answer) -> Option<Refusal> {
        let question = self.question;
        if !question.is_glass_open() {
            let open = question.until.map_or_else(
                || "the question stays open for those who are asked".to_owned(),
                |until| format!("those who are asked have until {until:.0}"),
            );
            return Some(Refusal::GlassClosed(open));
        }
        if answer.decision == Decision::Rejected {
            return Some(Refusal::GlassClosed("a rejection needs no broken glass".to_owned()));
        }
        (!answer.has_reason()).then_some(Refusal::NoReason)
    }

    /// The answer does not fit the question, or was given before.
    fn not_fitting(&self, _at: Timestamp, answer: &Answer) -> Option<Refusal> {
        let question = self.question;
        let items = question.request.items.len();
        let number = match answer.item {
            None if question.is_task() && answer.decision == Decision::Approved => {
                let message = format!("the step has a checklist of {items} items");
                return Some(Refusal::NoItem(message));
            }
            None => {
                let again =
                    question.answers.iter().any(|(_, given)| same_person(&given.by, &answer.by));
                // Whoever approved may still stop it.
                let approves = answer.decision == Decision::Approved && !answer.break_glass;
                let again = again && approves;
                return again.then(|| Refusal::Repeated(answer.by.clone()));
            }
            Some(number) => number,
        };
        let index = (number as usize).wrapping_sub(1);
        let Some(item) = question.request.items.get(index) else {
            let message = format!("there is no item {number}: the step has {items}");
            return Some(Refusal::NoItem(message));
        };
        if answer.decision == Decision::Rejected {
            return Some(Refusal::NoItem("a checklist is rejected as a whole".to_owned()));
        }
        if let Some((_, tick)) = question.tick(number) {
            return Some(Refusal::Ticked { item: number, by: tick.by.clone() });
        }
        (item.evidence && !answer.has_reason()).then_some(Refusal::NoEvidence(number))
    }
}
