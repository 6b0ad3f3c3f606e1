//! "Did you mean": the nearest of the names that would have been right.

/// The known name that `text` most likely means.
pub fn nearest<'a, S: AsRef<str> + ?Sized + 'a>(
    text: &str,
    known: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    let near = |name: &'a S| {
        let name = name.as_ref();
        (strsim::damerau_levenshtein(&text.to_lowercase(), &name.to_lowercase()), name)
    };
    let (distance, name) = known.into_iter().map(near).min_by_key(|(distance, _)| *distance)?;
    (distance <= text.chars().count().max(3) / 3).then_some(name)
}

/// Help for a name that is not among `known`: the nearest one, else all of them.
pub fn one_of<S: AsRef<str>>(text: &str, known: &[S]) -> String {
    const SHOWN: usize = 24;
    if let Some(name) = nearest(text, known) {
        return format!("did you mean `{name}`?");
    }
    let names: Vec<_> =
        known.iter().take(SHOWN).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = if known.len() > SHOWN { ", ..." } else { "" };
    match names.as_slice() {
        [] => "there are none".to_owned(),
        names => format!("known: {}{more}", names.join(", ")),
    }
}
