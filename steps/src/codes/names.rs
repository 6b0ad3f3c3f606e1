//! Names, parameters and secrets that lead clients elsewhere: `RB0920` to `RB0929`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0920",
        "a record is not what it was taken for",
        "It is not what `expect` says, or somebody changed it between the look and the change. Route \
         53 refuses such a change as a whole: nothing was changed. See who changed the record, then \
         correct it or the runbook.",
        "expect: [app-primary.example.com], and somebody has moved the name already",
    ),
    CodeInfo::new(
        "RB0921",
        "a zone of Route 53 cannot be told",
        "No zone has that name or id, or several have that name: one may be public and another \
         private. Write its id. Nothing was changed.",
        "zone: exmaple.com",
    ),
    CodeInfo::new(
        "RB0922",
        "a record could not be put back",
        "It is chosen by the place or the address of who asks, or by a traffic policy, which the step \
         does not keep. Nothing was changed. Change the record by hand, or give the name one without \
         such routing.",
        "a record with a geolocation",
    ),
    CodeInfo::new(
        "RB0923",
        "whether every server of a zone has a change is unknown",
        "Route 53 accepted the change; the step was cut off while it waited for `INSYNC`. The step \
         observes the records and the change before anything else is done.",
        "the run was cancelled while the servers were waited for",
    ),
    CodeInfo::new(
        "RB0924",
        "a change of names has not arrived in time",
        "The causes say what it was waited for: the change is still pending, a name server gives \
         another answer, or the former time to live has not passed. Give a longer `within`.",
        "former_ttl: 3600, within: 10m",
    ),
    CodeInfo::new(
        "RB0925",
        "a parameter is there already",
        "A parameter that exists is changed only with `overwrite: true`, and its type stays. Nothing \
         was changed.",
        "uses: ssm.put_parameter without `overwrite`, for a parameter that exists",
    ),
    CodeInfo::new(
        "RB0926",
        "a parameter or a secret is not what it was taken for",
        "It is not what `expect` says, or somebody has changed it since the step that is undone, or \
         the former version is gone. Nothing was changed. See who changed it, and put the value by \
         hand.",
        "an undo of a parameter that another deployment has changed since",
    ),
    CodeInfo::new(
        "RB0927",
        "a secret is a replica",
        "Secrets Manager changes a secret only in the region that it is at home in. When that region \
         is lost, `aws secretsmanager stop-replication-to-replica` makes the replica a secret of its \
         own. Nothing was changed.",
        "uses: secrets.put with the region of a replica",
    ),
    CodeInfo::new(
        "RB0928",
        "a secret has no keys that could be set",
        "`set` changes keys of a JSON object, and the secret is none. Give the whole value as \
         `secret`. Nothing was changed.",
        "set: {host: db.example.com} for a secret that is a bare password",
    ),
];
