//! XML as a tree, written by `quick-xml`.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// One element.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    inside: Inside,
}

#[derive(Clone, Debug)]
enum Inside {
    Text(String),
    Elements(Vec<Element>),
}

/// An element with text.
#[expect(clippy::needless_pass_by_value, reason = "numbers, words and texts are told alike")]
pub(super) fn text(name: &'static str, text: impl ToString) -> Element {
    Element { name, inside: Inside::Text(text.to_string()) }
}

/// An element with elements.
pub(super) fn tree(name: &'static str, elements: impl IntoIterator<Item = Element>) -> Element {
    Element { name, inside: Inside::Elements(elements.into_iter().collect()) }
}

/// An element with text, if there is text.
pub(super) fn maybe(name: &'static str, text: Option<impl ToString>) -> Option<Element> {
    text.map(|it| self::text(name, it))
}

impl Element {
    /// The document whose root it is.
    pub(super) fn document(&self, namespace: &str) -> String {
        let mut writer = Writer::new(Vec::new());
        writer
            .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
            .and_then(|()| self.write(&mut writer, Some(namespace)))
            .expect("memory takes every byte");
        String::from_utf8(writer.into_inner()).expect("only text was written")
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>, namespace: Option<&str>) -> io::Result<()> {
        let mut start = BytesStart::new(self.name);
        if let Some(namespace) = namespace {
            start.push_attribute(("xmlns", namespace));
        }
        writer.write_event(Event::Start(start))?;
        match &self.inside {
            Inside::Text(text) => writer.write_event(Event::Text(BytesText::new(text)))?,
            Inside::Elements(elements) => {
                for element in elements {
                    element.write(writer, None)?;
                }
            }
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_by_another_reader() {
        let awkward = "<&>\"' ä";
        let written = tree("A", [text("B", awkward), tree("C", [])]).document("urn:x");
        let read = roxmltree::Document::parse(&written).unwrap();
        assert_eq!(read.root_element().default_namespace(), Some("urn:x"));
        assert_eq!(read.root_element().first_element_child().unwrap().text(), Some(awkward));
    }
}
