//! A request as a service understands it.

use std::collections::BTreeMap;

use axum::http::request::Parts;
use serde_json::Value;
use url::form_urlencoded;

use super::refusal::Refusal;
use super::xml::Element;

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A form in, XML out.
    Query,
    /// JSON in, JSON out.
    Json,
    /// Paths and XML.
    Rest,
}

/// The scope of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) key: String,
    pub(super) region: String,
    pub(super) service: String,
}

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) region: String,
    pub(super) action: String,
    pub(super) asked: Asked,
}

/// What it says.
#[derive(Debug)]
pub(super) enum Asked {
    Form(Form),
    Json(Value),
    Rest { path: Vec<String>, query: Form, body: String },
}

/// What a service answers.
pub(super) enum Answer {
    Xml(Element),
    Json(Value),
}

/// What a service made of a request.
pub(super) type Answered = Result<Answer, Refusal>;

/// A form, or a query.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads `a=1&b=2`.
    pub(super) fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A value that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::lacks(name))
    }

    /// Whether a value says so.
    pub(super) fn says(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The values of `name.member.1`, `name.Anything.2`, in order; nothing when there are none.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let mut found: Vec<(usize, &String)> =
            self.0.iter().filter_map(|(key, value)| Some((place_in(key, name)?, value))).collect();
        found.sort_by_key(|(place, _)| *place);
        (!found.is_empty()).then(|| found.into_iter().map(|(_, value)| value.clone()).collect())
    }

    /// Pairs such as `Tags.Tag.1.Key` and `Tags.Tag.1.Value`, in order.
    pub(super) fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let entries = self.0.iter().filter_map(|(key, value)| {
            let start = key.strip_suffix(".Key")?;
            let place = place_in(start, name)?;
            let paired = self.0.get(&format!("{start}.Value")).cloned().unwrap_or_default();
            Some((place, (value.clone(), paired)))
        });
        let mut found: Vec<_> = entries.collect();
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, pair)| pair).collect()
    }
}

/// The number at the end of `name.1` or `name.member.1`.
fn place_in(key: &str, name: &str) -> Option<usize> {
    let rest = key.strip_prefix(name)?.strip_prefix('.')?;
    let place = rest.rsplit_once('.').map_or(
        rest,
        |(word, place)| {
            if word.contains('.') { "" } else { place }
        },
    );
    place.parse().ok()
}

impl Scope {
    /// Reads it from the header `Authorization`, or from the query of a presigned address.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let header = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let credential = if let Some(header) = header {
            header.split("Credential=").nth(1)?.split(',').next()?.to_owned()
        } else {
            let query = Form::read(head.uri.query().unwrap_or_default().as_bytes());
            query.get("X-Amz-Credential")?.to_owned()
        };
        let mut words = credential.trim().rsplit('/');
        let (_end, service, region, _day) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let key = words.next()?;
        Some(Self { key: key.to_owned(), region: region.to_owned(), service: service.to_owned() })
    }

    /// How the service of the scope is spoken to.
    pub(super) fn protocol(&self) -> Protocol {
        match self.service.as_str() {
            "route53" | "s3" => Protocol::Rest,
            "ssm" | "secretsmanager" => Protocol::Json,
            _ => Protocol::Query,
        }
    }

    /// The namespace of the service's XML.
    pub(super) fn namespace(&self) -> &'static str {
        match self.service.as_str() {
            "rds" => "http://rds.amazonaws.com/doc/2014-10-31/",
            "iam" => "https://iam.amazonaws.com/doc/2010-05-08/",
            "sts" => "https://sts.amazonaws.com/doc/2011-06-15/",
            "route53" => "https://route53.amazonaws.com/doc/2013-04-01/",
            _ => "",
        }
    }
}

impl Call {
    /// Reads a request; the action of a path is the service's to name.
    pub(super) fn read(scope: &Scope, head: &Parts, body: &[u8]) -> Result<Self, Refusal> {
        let region = scope.region.clone();
        let (action, asked) = match scope.protocol() {
            Protocol::Query => {
                let form = Form::read(body);
                (form.need("Action")?.to_owned(), Asked::Form(form))
            }
            Protocol::Json => {
                let target = head.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
                let action = target.and_then(|it| it.rsplit('.').next()).unwrap_or_default();
                let said = serde_json::from_slice(body)
                    .map_err(|error| Refusal::new("SerializationException", error.to_string()))?;
                (action.to_owned(), Asked::Json(said))
            }
            Protocol::Rest => {
                let path: Vec<String> =
                    head.uri.path().split('/').skip(1).map(str::to_owned).collect();
                let action = super::route53::action_of(&head.method, &path).to_owned();
                let query = Form::read(head.uri.query().unwrap_or_default().as_bytes());
                let body = String::from_utf8_lossy(body).into_owned();
                (action, Asked::Rest { path, query, body })
            }
        };
        Ok(Self { region, action, asked })
    }

    /// The form of a service that has forms.
    pub(super) fn form(&self) -> Result<&Form, Refusal> {
        match &self.asked {
            Asked::Form(form) => Ok(form),
            _ => Err(Refusal::unknown(&self.action)),
        }
    }

    /// Whether it changes something when it succeeds.
    pub(super) fn changes(&self) -> bool {
        let looks = ["Describe", "List", "Get", "Simulate"];
        !looks.iter().any(|word| self.action.starts_with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_their_order_whatever_their_members_are_called() {
        let form = Form::read(
            b"G.member.10=j&G.member.2=b&G.X.1=a&Other.1=z&T.Tag.1.Key=k&T.Tag.1.Value=v&G.a.b.3=no",
        );
        assert_eq!(form.list("G").unwrap(), ["a", "b", "j"]);
        assert_eq!(form.list("None"), None);
        assert_eq!(form.pairs("T"), [("k".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn the_scope_is_read_from_both_kinds_of_signature() {
        let parts =
            |request: axum::http::request::Builder| request.body(()).unwrap().into_parts().0;
        let credential = "AKIA/20261128/us-west-2/rds/aws4_request";
        let header = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host");
        let signed = parts(axum::http::Request::builder().header("authorization", header));
        let presigned = parts(
            axum::http::Request::builder()
                .uri("/?X-Amz-Credential=AKIA%2F20261128%2Fus-west-2%2Frds%2Faws4_request"),
        );
        for head in [signed, presigned] {
            let scope = Scope::of(&head).unwrap();
            assert_eq!(
                (scope.key.as_str(), scope.region.as_str(), scope.service.as_str()),
                ("AKIA", "us-west-2", "rds")
            );
        }
        assert_eq!(Scope::of(&parts(axum::http::Request::builder())), None);
    }
}
