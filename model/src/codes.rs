//! The codes of problems: each has a page, made from its entry here.
//!
//! `RB01xx` YAML, `RB02xx` the language, `RB03xx` parameters. Other crates have slices of their
//! own for `RB04xx` and above; the command line puts them together.

/// What is to be said about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeInfo {
    /// `RB0201`.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means and what to do, in Markdown.
    pub text: &'static str,
    /// What causes it: YAML or a command line.
    pub example: &'static str,
}

impl CodeInfo {
    /// An entry.
    pub const fn new(
        code: &'static str,
        title: &'static str,
        text: &'static str,
        example: &'static str,
    ) -> Self {
        Self { code, title, text, example }
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $module:ident: $($name:ident = $code:literal, $title:literal, $text:literal, $example:literal;)*) => {
        $(#[$doc])*
        pub mod $module {
            use super::CodeInfo;
            $(#[doc = $title] pub const $name: &str = $code;)*
            /// The entries of this group.
            pub const ALL: &[CodeInfo] = &[
                $(CodeInfo { code: $code, title: $title, text: $text, example: $example },)*
            ];
        }
    };
}

codes! {
    /// Problems of the YAML text.
    document:
    SYNTAX = "RB0101", "the text is not YAML",
        "The YAML parser cannot read on from this place. Look at the indentation, and at quotes and brackets above it.",
        "steps: [1";
    DUPLICATE_KEY = "RB0102", "a key stands twice",
        "A mapping may have each key once; readers of the file could not tell which one counts.",
        "name: a\nname: b";
    TAG = "RB0103", "a YAML tag",
        "Tags such as `!!str` are not part of the language. The type of a value follows from its key; quote a value to make it text.",
        "name: !!str 1";
    MERGE_KEY = "RB0104", "a YAML merge key",
        "`<<` is not part of YAML 1.2. Write the keys out.",
        "retry: {<<: *slow}";
    TOO_LARGE = "RB0105", "the file is too large",
        "A runbook has at most 8 MiB.",
        "(a file of 9 MiB)";
    TOO_DEEP = "RB0106", "nested too deep",
        "Values are nested at most 64 deep.",
        "a: [[[[[[ ... ]]]]]]";
    TOO_MANY = "RB0107", "too many values",
        "A runbook holds at most 250,000 values. What an alias repeats counts each time, so a short file can be too large.",
        "a: &a [1, 1]\nb: &b [*a, *a]";
    UNQUOTED = "RB0108", "a template without quotes",
        "YAML reads `{` as the start of a mapping. Put the whole value in double quotes.",
        "table: {{ params.table }}";
    KEY = "RB0109", "a key that is not text",
        "The keys of a mapping are text.",
        "? [a, b]\n: 1";
    DOCUMENTS = "RB0110", "not exactly one document",
        "A file holds one runbook: it is neither empty, nor does it hold `---` between documents.",
        "version: 1\n---\nversion: 1";
}

codes! {
    /// Problems of the language.
    language:
    UNKNOWN_KEY = "RB0201", "an unknown key",
        "Keys have one spelling, and a misspelt key would be ignored in silence, so it is an error.",
        "nmae: daily-backup";
    MISSING_KEY = "RB0202", "a key is missing",
        "The mapping needs this key.",
        "steps:\n  - uses: flow.pass";
    TYPE = "RB0203", "a value of the wrong type",
        "The key takes a value of another type. Durations are text with units (`90s`, `15m`), sizes too (`64MiB`); booleans are `true` and `false` only.",
        "max_parallel: many";
    NOT_YET = "RB0204", "not supported by this version",
        "The key belongs to the language, and this version of `runbook` cannot do what it says. It is refused rather than ignored.",
        "foreach: {items: [a, b]}";
    VALUE = "RB0205", "a value that is not allowed",
        "The value has the right type and breaks a rule of its key.",
        "name: Daily Backup";
    DUPLICATE_ID = "RB0206", "two steps have one id",
        "Ids name steps in `needs`, in templates and in the journal, so each is used once.",
        "steps:\n  - {id: a, uses: flow.pass}\n  - {id: a, uses: flow.pass}";
    UNKNOWN_KIND = "RB0207", "an unknown step kind",
        "`uses` names a kind of step. `runbook steps` lists them.",
        "uses: pg.dmp";
    INPUT = "RB0208", "a step refuses its input",
        "`with` is read as the input of the step's kind. `runbook steps KIND` shows its fields.",
        "with: {conection: prod}";
    NEEDS = "RB0210", "`needs` names no other step",
        "`needs` lists ids of other steps of this runbook, each once.",
        "needs: [dmup]";
    CYCLE = "RB0211", "steps wait for each other",
        "A step runs after the steps in its `needs` (without `needs`: after the one above it) and after every step that its templates refer to. These orders form a circle, so none of the steps could start.",
        "steps:\n  - {id: a, uses: flow.pass, needs: [b]}\n  - {id: b, uses: flow.pass, needs: [a]}";
    TEMPLATE = "RB0220", "a template that cannot be used",
        "The template does not parse, calls a filter or function that does not exist, or fails with the values it would get.",
        "table: \"{{ params.table | upcase }}\"";
    UNDEFINED = "RB0221", "an undefined name",
        "Templates read `params`, `vars`, `run`, `secrets`, and `steps.<id>.outputs`. The name is none of what the runbook declares.",
        "table: \"{{ params.tabel }}\"";
    UNKNOWN_OUTPUT = "RB0222", "a step has no such output",
        "`runbook steps KIND` shows the outputs of a kind.",
        "text: \"{{ steps.dump.outputs.pth }}\"";
    MAY_BE_SKIPPED = "RB0223", "a reference to a step that may be skipped",
        "A step with `if` may be skipped, and then it has no outputs. Say what to use instead with `default(...)`.",
        "text: \"{{ steps.dump.outputs.path }}\"";
    SECRET_PLACE = "RB0224", "a secret where it could be seen",
        "Secrets may stand only in fields made for them, in `env`, in connections and in stores. Elsewhere they would reach the plan, the journal or a log.",
        "prompt: \"{{ secrets.token }}\"";
    CONDITION = "RB0225", "an `if` that cannot be used",
        "`if` is an expression without braces that is true or false.",
        "if: \"{{ params.jobs }}\"";
    UNKNOWN_CONNECTION = "RB0230", "an unknown connection",
        "The step uses a connection that `connections` does not declare.",
        "with: {connection: prd}";
    UNKNOWN_STORE = "RB0231", "an unknown store",
        "The step uses a store that `stores` does not declare.",
        "with: {store: bakups}";
    PROTECTED = "RB0232", "a protected connection used as scratch",
        "The step changes data on this connection freely. A connection is protected unless it says `protected: false`.",
        "with: {scratch: prod}";
    OPAQUE_RETRY = "RB0233", "a retry of something that may have happened",
        "Nothing can tell whether an interrupted attempt of this step took effect, so a second attempt could do it twice. Say `idempotent: true` if that is harmless, or give `observe: [argv]`, a command that exits 0 when it is done.",
        "uses: command.run\nretry: {limit: 3}";
    UNUSED = "RB0240", "declared and never used",
        "Remove it, or use it: it may be misspelt elsewhere.",
        "params:\n  tabel: {type: string}";
}

codes! {
    /// Problems of parameters.
    params:
    MISSING = "RB0301", "a parameter has no value",
        "The parameter is required and has no default. Give it with `-p name=value`.",
        "runbook run table-restore.yaml";
    UNKNOWN = "RB0302", "an unknown parameter",
        "The runbook declares no parameter of this name.",
        "runbook run table-restore.yaml -p tabel=users";
    INVALID = "RB0303", "a parameter's value does not fit",
        "The value does not have the parameter's type, or is not allowed by its `enum`, `pattern`, `min` or `max`.",
        "runbook run table-restore.yaml -p jobs=many";
    DECLARATION = "RB0304", "a parameter's declaration contradicts itself",
        "For example a `default` that `enum` does not list, a `pattern` on a number, `required` beside `default`.",
        "params:\n  jobs: {type: integer, default: many}";
    RESERVED = "RB0305", "a reserved name",
        "The name means something in templates.",
        "params:\n  run: {type: string}";
}

/// The groups of this crate.
pub const ALL: [&[CodeInfo]; 3] = [document::ALL, language::ALL, params::ALL];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<_> =
            ALL.iter().flat_map(|group| group.iter()).map(|info| info.code).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    }
}
