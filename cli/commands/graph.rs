//! `runbook graph`.

use model::graph;

use crate::cli::{Graph, GraphFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::print;

pub(crate) fn graph(args: &Graph, settings: &Settings) -> Result<Exit, Failure> {
    let file = RunbookFile::read(&args.file)?;
    let plan = match file.plan(&args.params, settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let picture = graph::Graph::of(&plan);
    print::text(&match args.format {
        GraphFormat::Mermaid => graph::mermaid(&picture),
        GraphFormat::Dot => graph::dot(&picture),
        GraphFormat::Svg => graph::svg(&picture),
    });
    Ok(Exit::Done)
}
