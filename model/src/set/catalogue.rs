//! What a manifest records of the definitions in a database: one shape for every kind of object,
//! so that a new kind is a row in a table and not a type.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::proof::Level;

/// One definition in a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueObject {
    /// What kind of definition it is.
    pub category: Category,
    /// Which one, quoted as SQL quotes it and qualified by its schema:
    /// `orders_user_fk on public.orders`. Unique within its category.
    pub identity: String,
    /// The identity of the object it is part of or says something about: a column's table, the
    /// table that an owner owns. When that object is missing, this one is not named as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    /// What is recorded of it, by name. Never a physical identifier, size or position.
    pub attributes: BTreeMap<String, String>,
}

macro_rules! categories {
    ($($(#[doc = $doc:literal])+ $name:ident $words:literal $compared:ident;)+) => {
        /// A kind of thing that is recorded, compared and named in a difference.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Category {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Category {
            /// Every category, in the order of manifests and differences.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The category as a person says it.
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }

            /// From which level on it is compared; `None` is recorded for people only, because
            /// a restore does not carry it into another database.
            pub fn compared_from(self) -> Option<Level> {
                match self { $(Self::$name => compared!($compared),)+ }
            }
        }
    };
}

macro_rules! compared {
    (recorded) => {
        None
    };
    ($level:ident) => {
        Some(Level::$level)
    };
}

categories! {
    /// A database's encoding, locale and locale provider.
    DatabaseLocale "database locale" Complete;
    /// A database's owner, comment, privileges, connection limit.
    DatabaseProperty "database property" recorded;
    /// `ALTER DATABASE ... SET`; a restore applies it again from the manifest.
    DatabaseSetting "database setting" Complete;
    /// `ALTER ROLE ... IN DATABASE ... SET`; a restore applies it again from the manifest.
    RoleSetting "role setting" Complete;
    /// An extension and its schema.
    Extension "extension" Complete;
    /// The version of an extension. `pg_restore` installs the newest one the server has.
    ExtensionVersion "extension version" recorded;
    /// A schema.
    Schema "schema" Complete;
    /// A procedural language.
    Language "language" Complete;
    /// A base, composite, range or multirange type.
    Type "type" Complete;
    /// An enum and its labels in order.
    Enum "enum" Complete;
    /// A domain, its default and its checks.
    Domain "domain" Complete;
    /// A collation.
    Collation "collation" Complete;
    /// An encoding conversion.
    Conversion "conversion" Complete;
    /// A function, procedure, aggregate or window function.
    Function "function" Complete;
    /// A cast.
    Cast "cast" Complete;
    /// A transform.
    Transform "transform" Complete;
    /// An operator.
    Operator "operator" Complete;
    /// An operator class.
    OperatorClass "operator class" Complete;
    /// An operator family.
    OperatorFamily "operator family" Complete;
    /// An access method.
    AccessMethod "access method" Complete;
    /// A text search parser, template, dictionary or configuration.
    TextSearch "text search object" Complete;
    /// A table of any kind: persistence, options, access method.
    Table "table" Complete;
    /// A column: type, default, not null, generated, identity, collation.
    Column "column" Complete;
    /// A table's parents, by inheritance.
    Inheritance "inheritance" Complete;
    /// A partitioned table's strategy, or a partition's parent and bound.
    Partition "partition" Complete;
    /// A constraint and whether it is validated.
    Constraint "constraint" Complete;
    /// An index and whether it is valid.
    Index "index" Complete;
    /// Extended statistics.
    Statistics "extended statistics" Complete;
    /// A trigger and whether it is enabled.
    Trigger "trigger" Complete;
    /// A rewrite rule.
    Rule "rule" Complete;
    /// A view.
    View "view" Complete;
    /// A materialized view and whether it is populated.
    MaterializedView "materialized view" Complete;
    /// A row-security policy.
    Policy "policy" Complete;
    /// Whether row security is enabled and forced on a table.
    RowSecurity "row security" Complete;
    /// What a table's replica identity is.
    ReplicaIdentity "replica identity" Complete;
    /// A sequence's definition.
    Sequence "sequence" Complete;
    /// An event trigger.
    EventTrigger "event trigger" Complete;
    /// A publication.
    Publication "publication" Complete;
    /// A table or schema in a publication.
    PublicationMember "publication member" Complete;
    /// A subscription, without its connection string.
    Subscription "subscription" Complete;
    /// A foreign-data wrapper.
    ForeignDataWrapper "foreign-data wrapper" Complete;
    /// A foreign server.
    ForeignServer "foreign server" Complete;
    /// A foreign table's server and options.
    ForeignTable "foreign table" Complete;
    /// That a user mapping exists; never its options, they hold passwords.
    UserMapping "user mapping" Complete;
    /// A large object.
    LargeObject "large object" Complete;
    /// Who owns an object.
    Owner "owner" Complete;
    /// What a role may do with an object or a column.
    Grant "grant" Complete;
    /// What a role may do with objects that are created later.
    DefaultPrivilege "default privilege" Complete;
    /// A comment.
    Comment "comment" Complete;
    /// A security label.
    SecurityLabel "security label" Complete;
    /// The tablespace of an object outside the default one.
    Tablespace "tablespace" recorded;
    /// How many rows a table holds.
    TableRows "row count" Complete;
    /// Where a sequence stands.
    SequencePosition "sequence position" Complete;
    /// The content hash of a table.
    TableContent "table content" Identical;
    /// The content of a large object.
    LargeObjectContent "large object content" Identical;
    /// An object of the set in its store.
    File "file" Stored;
    /// An assertion, or an index check by amcheck.
    Check "check" Usable;
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
