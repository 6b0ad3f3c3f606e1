//! `runbook schema`.

use crate::exit::Exit;
use crate::show::print;

pub(crate) fn schema() -> Exit {
    print::json(&model::schema::runbook(&steps::REGISTRY));
    Exit::Done
}
