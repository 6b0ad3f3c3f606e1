//! The codes of problems: each has a page, made from its entry here.
//!
//! `RB01xx` YAML, `RB02xx` the language, `RB03xx` parameters and safety, and those of people who answer.
//! Other crates have slices of their own for `RB04xx` and above; the command line puts them
//! together.

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
    FOREACH = "RB0260", "a `foreach` that cannot be used",
        "`foreach` makes one step of each item: `foreach: {items: [users, orders], as: table, max_parallel: 2}`. Inside that step, and nowhere else, templates read the item by the name in `as`.",
        "foreach: {items: [users], as: params}";
    ITEMS = "RB0261", "items that are not known before the run",
        "The steps of a plan are known before it starts, so `items` is a list that is written out, or one whole `{{ params.x }}` that is a list.",
        "foreach: {items: \"{{ steps.list.outputs.names }}\", as: name}";
    ITEM_ID = "RB0262", "items that give no ids of their own",
        "The step of an item is called after it: `dump.users`. The part behind the dot is the item in lower case with `_` for all other characters; for a mapping it comes from its `id`, else its `name`. No two items may give the same part.",
        "foreach: {items: [a-b, a_b], as: name}";
    TOO_MANY_ITEMS = "RB0263", "too many items",
        "All `foreach` of a plan together make at most 1,000 steps. Hand a longer list to one step, or split the runbook.",
        "foreach: {items: \"{{ params.thousands }}\", as: name}";
    LIST_OF_OUTPUTS = "RB0264", "one of the outputs of a `foreach`",
        "`steps.<id>.outputs` of a step with `foreach` is a list with the outputs of each item, in their order. It is used as a whole, or in a loop: which place in the list an item has would change with the items.",
        "text: \"{{ steps.dump.outputs[0].rows }}\"";
    INCLUDE = "RB0265", "a `runbook.include` that cannot be used",
        "`runbook.include` stands for the steps of another runbook: `with: {file: failback.yaml, params: {...}}`. It never runs itself, so that it takes `id`, `name`, `phase`, `uses`, `with`, `needs` and `if` only; `if` is answered before the run and reads nothing but parameters.",
        "uses: runbook.include\ntimeout: 5m";
    INCLUDED_FILE = "RB0266", "an included runbook that cannot be read",
        "`file` is relative to the runbook that includes it and may not leave the folder of the runbook that was given on the command line: neither by `..`, nor by an absolute path, nor by a symbolic link.",
        "with: {file: ../other/failback.yaml}";
    INCLUDE_CYCLE = "RB0267", "runbooks that include each other",
        "A runbook that includes itself, directly or through others, would never end. Inclusions are at most 8 deep, and at most 100 in all.",
        "with: {file: itself.yaml}";
    INCLUDED_PARAMS = "RB0268", "parameters that an included runbook does not take",
        "`with.params` gives the included runbook the parameters it declares: literals, or templates over the parameters of the including runbook, which are known before the run.",
        "with: {file: failback.yaml, params: {regoin: us-east-1}}";
    NOT_TAKEN_OVER = "RB0269", "a part of an included runbook that does nothing here",
        "Only the steps of an included runbook are taken over, with its params, vars, secrets, connections, stores and defaults. What else it says holds when it is run by itself. Where the including runbook says the same key for itself, nothing is warned of.",
        "handlers: {failure: [...]}";
    NO_MEANING = "RB0280", "a key that has no meaning here",
        "The key belongs to the steps of the runbook. The steps of handlers are told of the run and are no part of it: they restore nothing, reach no milestone, and are not undone. An `undo` runs when its step is taken back, whatever `needs` or `if` would say.",
        "handlers:\n  failure: [{id: alarm, uses: slack.notify, restores_service: true}]";
    UNDO_READS = "RB0281", "an `undo` reads a step that may not have run",
        "An `undo` runs when its own step has finished, so it reads the outputs of that step and of the steps that run before it. Others may not have run.",
        "undo: {uses: pg.swap_back, with: {table: \"{{ steps.later.outputs.table }}\"}}";
    REPLACEMENT = "RB0282", "a replacement that lacks an output",
        "In a drill another step stands in the place of this one, and a step reads an output that it does not have. Replace it by a kind with that output, or read it through `default(...)`.",
        "drill: {replace: {dump: {uses: flow.pass}}}";
    DRILL = "RB0283", "a drill of something that is not there",
        "`drill` changes steps, parameters, connections and stores that the runbook has. It names something else, or says two things of one step.",
        "drill: {skip: [confrim]}";
    HANDLER_WAITS = "RB0284", "a handler that waits for a person",
        "Handlers tell people what happened to the run; they never wait for an answer, or a run could not end. Put the question among the steps.",
        "handlers:\n  failure: [{id: ask, uses: human.approve, with: {prompt: \"go on?\"}}]";
    NOTHING_TO_UNDO = "RB0285", "a rollback with nothing to undo",
        "`rollback` runs the `undo` of finished steps after a failure, and no step has one.",
        "rollback: on_failure";
    HANDLER_DESTROYS = "RB0286", "a handler that destroys something",
        "A handler runs however far the steps have come, when nobody may be watching. What it destroys cannot be brought back by a resume.",
        "handlers:\n  exit: [{id: drop, uses: pg.drop_database}]";
    CRON = "RB0287", "a cron line that cannot be read",
        "A line has five fields: minute, hour, day of the month, month, day of the week. Seconds and years are not part of it.",
        "schedule: [{cron: \"0 25 * * *\"}]";
    NEVER_FIRES = "RB0288", "a cron line that never comes",
        "The line is well-formed and names a day that does not exist, such as the 30th of February: nothing would ever start, and nobody would notice.",
        "schedule: [{cron: \"0 0 30 2 *\"}]";
    TIME_ZONE = "RB0289", "an unknown time zone",
        "Time zones have the names of the IANA database: `UTC`, `Europe/Berlin`, `America/New_York`.",
        "schedule: [{cron: \"0 2 * * *\", timezone: Europe/Berln}]";
    UNATTENDED = "RB0290", "a scheduled run that needs somebody",
        "A run that starts by itself has nobody who gives a parameter or answers a question. Parameters need a `default` or an `env`; a step that asks needs a `timeout`.",
        "schedule: [{cron: \"0 2 * * *\"}]\nparams: {table: {type: string, required: true}}";
    REVIEW = "RB0291", "a review that is overdue",
        "The runbook says until when somebody should have looked at it again. It runs all the same.",
        "review: {by: \"2020-01-01\"}";
    REGION = "RB0292", "outside the allowed regions",
        "`allowed_regions` says where data may be. The name of a server tells that it stands elsewhere: `s3.eu-west-1.amazonaws.com` is in `eu-west-1`.",
        "allowed_regions: [us-east-1]";
    MILESTONE = "RB0293", "two milestones have one name",
        "The report tells when each milestone was reached, by its name.",
        "milestone: {name: core, rto: 10m}";
    MILESTONE_LATE = "RB0294", "a milestone after the recovery time objective",
        "A milestone is an objective inside the run: it is reached on the way to the whole, so its time is not longer than `objectives.rto`.",
        "objectives: {rto: 10m}\n# ...\nmilestone: {name: core, rto: 20m}";
    GROUP = "RB0295", "a group that is not known before the run",
        "Runs of one `concurrency` group never run beside each other, so that the group is known before a run starts: it reads `params` and `run.name`.",
        "concurrency: {group: \"restore-{{ steps.find.outputs.database }}\"}";
    NO_DRILL = "RB0296", "a runbook without a drill",
        "`drill` says what a drill does differently: which parameters, connections and stores it has, which steps are replaced or left out. Without it, a drill would be a live run.",
        "runbook run --drill daily-backup.yaml";
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

codes! {
    /// What a runbook does in an order that could lose data, or that its own objectives forbid.
    safety:
    UNAPPROVED = "RB0310", "a change of protected data that nobody approves",
        "Every connection is protected unless it says `protected: false`. A step that destroys data there, or does what nobody can take back, runs only after a person said so: put a `human.approve` among the steps that it runs after. An approval counts when the step cannot run without it: not when `continue_on` lets the run go on after a rejection, and not for a step whose `if` asks for `failed()` or `always()`, unless it also asks for `succeeded('confirm')`. Where the approval has an `if` that the step does not have, this is a warning: that some runs ask nobody is the author's decision, and stands in the text. An `undo` and a handler are judged in the same way. What makes something new, such as `pg.restore` into a database of its own, is not concerned; of a statement that can be taken back `pg.query` says `effect: reversible`.",
        "connections: {prod: {}}\nsteps:\n  - {id: wipe, uses: pg.query, with: {connection: prod, sql: delete from users, read_only: false}}";
    UNFENCED = "RB0311", "a promotion without a fence",
        "A promoted standby and an old primary that still runs both take writes, and what one of them took is lost. So a step that shuts the old primary out, and proves it, comes before: a fence. Whether it did is not known when it may be skipped or may fail with `continue_on`. Where there is nothing left to shut out, the step that promotes takes the reason (`without_fence`; a command says `plays: [promote, unfenced]`), which the journal keeps; this is then a warning. `run --ungraceful` is checked as well: where it leaves the fence out, the promotion needs the reason.",
        "steps:\n  - {id: promote, uses: pg.promote, with: {connection: standby}}";
    TRAFFIC = "RB0312", "traffic moved before the new server takes writes",
        "A promotion is asked for, and done some time later. Whoever is sent to the new server before it takes writes sees errors, or writes to a server that is not the primary yet. In a plan that promotes a server, a step that moves a name, a parameter or a secret over runs after a step that wrote a row there and read it again. To show a page of maintenance meanwhile, use the maintenance mode of the application: that is no move of traffic.",
        "steps:\n  - {id: dns, uses: command.run, with: {argv: [move-dns], plays: [move_traffic]}}\n  - {id: promote, uses: pg.promote, with: {connection: standby}}";
    UNPROVEN_PRUNE = "RB0313", "old sets removed, and no new one proved",
        "A runbook that removes backups first proves one, so that a run in which nothing could be restored removes nothing. It is a warning, because `store.prune` counts proven sets only and keeps a floor of them: a runbook that only prunes is right where another one proves.",
        "steps:\n  - {id: prune, uses: store.prune, with: {store: backups, database: app, keep: {daily: 7}}}";
    NO_ZONE = "RB0314", "a time without a zone",
        "`2026-11-20 02:00` is another moment in every zone, and in one zone it can come twice, or never, when the clocks change. A time that a recovery goes by has a zone: `2026-11-20T02:00:00Z`, or with an offset, `2026-11-20T03:00:00+01:00`.",
        "runbook run pitr.yaml -p target=2026-11-20T02:00:00";
    UNVERIFIED = "RB0315", "a destructive step that nothing verifies afterwards",
        "That a step has ended well is what the step believes. After data was removed or overwritten, or a server promoted, another step looks whether all is as it should be: `pg.assert`, `http.check`, `pg.manifest` with a set. It is a warning, because what is removed for good may leave nothing to look at. Steps that change scratch connections only, undos, handlers and the removal of old sets are not concerned.",
        "steps:\n  - {id: confirm, uses: human.approve, with: {prompt: \"Clean up?\"}}\n  - {id: wipe, uses: pg.query, with: {connection: prod, sql: delete from sessions, read_only: false}}";
    RTO_IMPOSSIBLE = "RB0316", "an RTO that the runbook's own waits exceed",
        "The waits on the longest way to the step that restores the service (or reaches the milestone) are certain, and alone they take longer than the objective, so that no run can meet it. Steps that other steps do not wait for do not count.",
        "objectives: {rto: 10m}\nsteps:\n  - {id: old_ttl, uses: flow.wait, with: {duration: 15m}}";
    RTO_UNLIKELY = "RB0317", "an RTO that the runbook's own limits of time allow to be missed",
        "The limits on the longest way to the step that restores the service (or reaches the milestone) add up to more than the objective: each step's `deadline`, else its `timeout`, else the time after which it gives up by itself, waiting for a person included. No step would be stopped, and the objective would be missed. It is a warning: limits are what a step may take, not what it takes. Steps without any limit count for nothing.",
        "objectives: {rto: 20m}\nsteps:\n  - {id: confirm, uses: human.approve, with: {prompt: \"Go?\", timeout: 30m}}";
    LEAVING = "RB0325", "a step that needs the region that is being left",
        "After a fence the service goes on elsewhere, and often because the whole region of the old primary is gone. A step behind the fence, on the way to the service, that needs something in that region could not run then: the bucket that a set is read from, the secret, an API of that region, the control plane of Route 53, which is in `us-east-1` whatever a runbook says. Keep a copy of it in another region; or do before what needs it (`route53` health checks and weights that stand there already need no control plane); or say `ungraceful: skip`, or `ungraceful: {with: ...}` with another place, for a run in which the region is gone. Steps behind the one that says `restores_service`, those that cope with a server that is away, undos and handlers are not concerned. `runbook plan FILE --without-region REGION` lists all steps that could not run.",
        "connections:\n  old: {host: db.internal, region: us-east-1}\nstores:\n  backups: {url: \"s3://backups\", region: us-east-1}\nsteps:\n  - {id: fence, uses: fence, with: {connection: old, method: pg_ctl, data_directory: /data}}\n  - {id: sets, uses: store.list, with: {store: backups}}";
    NO_SUCH_REGION = "RB0326", "a region that no step names",
        "`--without-region` takes the name of a region of AWS, or one that a step of the runbook names.",
        "runbook plan dr-failover.yaml --without-region us-esat-1";
}

codes! {
    /// Why an answer of a person does not count, and problems of `approvers.yaml`.
    approval:
    NOT_LISTED = "RB0490", "an answer of somebody who is not asked",
        "`approvers` of the step lists roles and names, and the person is none of them.",
        "runbook approve RUN confirm --as eve";
    OWN_RUN = "RB0491", "an approval by the person who started the run",
        "Two persons see more than one: who started the run may not approve it, unless the step says `allow_self: true`.",
        "runbook approve RUN confirm";
    UNSIGNED = "RB0492", "an answer without a signature",
        "People who are asked have keys in the `approvers.yaml` that the run started with, so a name that is only claimed does not count.",
        "runbook approve RUN confirm --as dana";
    FORGED = "RB0493", "a signature that does not verify",
        "The signature was not made by the key that it names, over these bytes, in the namespace `runbook-approval@v1`. Sign what `--print-message` prints, unchanged.",
        "runbook approve RUN confirm --signature changed.sig";
    OTHER_RUN = "RB0494", "a signature for another run",
        "An approval holds for the run it was given for. Sign again, for this run.",
        "runbook approve RUN confirm --signature last-month.sig";
    OTHER_PLAN = "RB0495", "a signature for another plan",
        "The plan that was signed is not the plan of this run.",
        "runbook approve RUN confirm --signature other-plan.sig";
    OTHER_QUESTION = "RB0496", "a signature for another question",
        "It was given for another step, or for an earlier question of this one, and is not taken a second time.",
        "runbook approve RUN confirm --signature first-question.sig";
    UNKNOWN_KEY = "RB0497", "a signature with a key that nobody has",
        "The people of a run, and their keys, are those of `approvers.yaml` when the run started. `runbook approvers` lists those of the file as it is now.",
        "runbook approve RUN confirm --key ~/.ssh/id_of_somebody_else";
    EXPIRED = "RB0723", "an answer after the end of the question",
        "The `timeout` of the question had passed when the answer came. What counts is when it is journaled.",
        "runbook approve RUN confirm --as dana";
    REPEATED = "RB0724", "a second answer of one person",
        "Each person answers a question once; `required: 2` takes two persons.",
        "runbook approve RUN confirm --as dana";
    NOT_ASKED = "RB0725", "the step asks nobody now",
        "The run has no such step, or its question is not open: not yet, or not any more. `runbook status` shows the steps that wait.",
        "runbook approve RUN dump";
    NO_ITEM = "RB0726", "no such item of the checklist",
        "Items are counted from 1. A checklist takes `--item N`, a plain approval takes none.",
        "runbook approve RUN fence --item 9";
    TICKED = "RB0727", "an item that is ticked already",
        "Each item is ticked once.",
        "runbook approve RUN fence --item 1";
    NO_EVIDENCE = "RB0728", "an item that needs evidence",
        "The item says `evidence: true`: tick it with what you saw.",
        "runbook approve RUN fence --item 2";
    GLASS_CLOSED = "RB0729", "breaking the glass when it is not time",
        "It is possible where the step says `on_timeout: escalate`, after those who are asked and then the contacts had their time.",
        "runbook approve RUN confirm --break-glass --reason \"nobody is there\"";
    NO_REASON = "RB0730", "breaking the glass without a reason",
        "What is done without those who should have been asked is explained, by whoever does it.",
        "runbook approve RUN confirm --break-glass";
    OTHER_ANSWER = "RB0731", "a signature for another answer",
        "The decision, the item, the name or the reason that was signed is not the one that is given.",
        "runbook reject RUN confirm --signature approved.sig";
    NOBODY = "RB0732", "approvers that nobody is",
        "An entry of `approvers` is neither a role nor a name of `approvers.yaml`, so nobody could answer for it.",
        "with: {prompt: \"Go?\", approvers: [dab]}";
    TOO_FEW = "RB0733", "more approvals than people",
        "Fewer people of `approvers.yaml` may answer than `required` asks for; the starter counts only with `allow_self: true`, and where one has a key, only those with keys count.",
        "with: {prompt: \"Go?\", approvers: [dba], required: 3}";
    DUPLICATE_NAME = "RB0990", "one name for two",
        "Names in `approvers.yaml` are unique, and no name is also a role.",
        "approvers:\n  - {name: dana}\n  - {name: Dana}";
    DUPLICATE_KEY = "RB0991", "one key for two persons",
        "A signature could not tell which of them answered.",
        "approvers:\n  - {name: dana, key: ssh-ed25519 AAAA...}\n  - {name: eve, key: ssh-ed25519 AAAA...}";
    MALFORMED_KEY = "RB0992", "a key that does not read",
        "`key` takes the line of a public key file: its type and its base64 text.",
        "key: ssh-ed25519 AAAA";
    KEY_TYPE = "RB0993", "a key of a type that cannot be used",
        "Signatures of this type cannot be verified, or are too weak: DSA, RSA below 2048 bits, certificates.",
        "key: ssh-dss AAAAB3NzaC1kc3MAAACBA...";
}

/// The groups of this crate.
pub const ALL: [&[CodeInfo]; 5] =
    [document::ALL, language::ALL, params::ALL, safety::ALL, approval::ALL];

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
