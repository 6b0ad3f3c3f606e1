//! The process that holds a laboratory, and how it is started.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::control::Ending;
use super::handle::{ENV, Held, LOG, Written, clear, refuse_others};
use super::{Handle, HandleError, Served, Site, SiteOptions, State};

/// Said when all is there.
const READY: &str = "ready";
/// Said by whoever started it when it may stay.
const KEEP: &str = "keep";

/// Starts a process of its own, `program` with `arguments`, that calls [`hold`], and waits until
/// its laboratory is there. `tell` hears what it is doing. When this process ends before, that one ends as well.
pub fn up(
    folder: &Path,
    program: &Path,
    arguments: &[&str],
    tell: &mut dyn FnMut(&str),
) -> Result<Handle, HandleError> {
    fs::create_dir_all(folder)?;
    match Handle::look(folder)? {
        State::Up(_) => return Err(HandleError::Up(folder.to_path_buf())),
        State::Crashed => return Err(HandleError::Crashed(folder.to_path_buf())),
        State::Absent => refuse_others(folder)?,
    }
    // Kept open: the process removes its folder when it fails.
    let mut log = File::options().create(true).read(true).append(true).open(folder.join(LOG))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .spawn()?;
    match listen(child, tell) {
        Ok(()) => Handle::open(folder),
        Err(error) => {
            let why = why(&mut log).unwrap_or_else(|| error.to_string());
            if let Ok(Some(_held)) = Held::take(folder) {
                clear(folder)?;
            }
            Err(HandleError::NotStarted(why))
        }
    }
}

/// What the process said last of its failure.
fn why(log: &mut File) -> Option<String> {
    let mut said = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut said)).ok()?;
    let mut reasons = said.lines().filter_map(|line| line.trim().strip_prefix("why: "));
    reasons.next_back().or_else(|| said.lines().next_back()).map(str::to_owned)
}

/// Hears what the process says, until all is there.
fn listen(mut child: Child, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
    let lines = BufReader::new(child.stdout.take().expect("standard output is a pipe")).lines();
    for line in lines {
        let line = line?;
        if line == READY {
            let mut keep = child.stdin.take().expect("standard input is a pipe");
            return writeln!(keep, "{KEEP}");
        }
        tell(&line);
    }
    let status = child.wait()?;
    Err(io::Error::other(format!("its process ended: {status}")))
}

/// Holds a laboratory until it is told to end, in the process that [`up`] started.
pub fn hold(options: &SiteOptions) -> io::Result<()> {
    // A terminal's Control-C is for whoever started it.
    rustix::process::setsid().ok();
    let folder = &options.folder;
    let Some(held) = Held::take(folder)? else {
        return Err(io::Error::other("a laboratory is up in that folder"));
    };
    let done = serve(options);
    let cleared = clear(folder);
    drop(held);
    done.and(cleared)
}

fn serve(options: &SiteOptions) -> io::Result<()> {
    let wanted = Wanted::listen();
    let site = Site::start_telling(options, &mut |doing| wanted.say(doing))?;
    let environment = site.env_file();
    let token = crate::s3::random_word()?;
    let application = site.ledger().url();
    let served = Served::start(site, &token)?;
    super::private(&options.folder.join(ENV), &environment)?;
    let (process, port) = (std::process::id(), served.port());
    Written { process, port, token, application }.write(&options.folder)?;
    ends_on_signals(served.ending())?;
    wanted.say(READY)?;
    wanted.ends(served.ending());
    served.wait();
    Ok(())
}

/// Whether whoever started the process still wants it.
struct Wanted {
    gone: Arc<AtomicBool>,
    ending: std::sync::mpsc::Sender<Ending>,
}

impl Wanted {
    fn listen() -> Self {
        let gone: Arc<AtomicBool> = Arc::default();
        let (ending, told) = std::sync::mpsc::channel::<Ending>();
        let own = Arc::clone(&gone);
        std::thread::spawn(move || {
            let mut line = String::new();
            // An end of the pipe without the word is the end of whoever started it.
            drop(io::stdin().lock().read_line(&mut line));
            if line.trim() != KEEP {
                own.store(true, Ordering::Relaxed);
                told.recv().iter().for_each(Ending::end);
            }
        });
        Self { gone, ending }
    }

    /// Says what is being done, unless nobody is there any more.
    fn say(&self, doing: &str) -> io::Result<()> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::Error::other("whoever started it has ended"));
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{doing}")?;
        stdout.flush()
    }

    fn ends(&self, ending: Ending) {
        // Nobody listens when it may stay.
        self.ending.send(ending).ok();
    }
}

fn ends_on_signals(ending: Ending) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("lab-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
            let Ok(signals) = kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>() else {
                return;
            };
            let each = signals.into_iter().map(|mut one| Box::pin(async move { one.recv().await }));
            futures_util::future::select_all(each).await;
            ending.end();
        });
    })?;
    Ok(())
}
