//! The past of streams on disk: one thread writes segments of HLS to files while they are still in memory,
//! and removes those that nobody needs any more.
//!
//! Nobody waits for it: it looks a few times a second for segments that are in no file. What a slow or full
//! disk does not take in time leaves the memory without a file, and playlists begin behind it. It owns the
//! folder `tidegate-dvr` below the directory that is set, holds a lock in it, and empties it at the start,
//! as nothing in there is of use after an end: segments are known by their numbers of one run only.

mod ledger;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::egress::hls::store::{Unfiled, file_name};
use crate::egress::hls::{Library, Presentation, RenditionId};
use ledger::Ledger;

/// Where the past is kept, and how much of it.
#[derive(Clone, Debug)]
pub struct DvrSettings {
    /// It gets a folder of ours.
    pub directory: PathBuf,
    /// Bytes of the files of all streams; the oldest go first.
    pub max_bytes: u64,
}

/// The thread that writes; it ends, and its files go, with [`Self::stop`] or when this is dropped.
#[derive(Debug)]
pub struct Dvr {
    stop: SyncSender<()>,
    ended: Receiver<()>,
}

impl Dvr {
    /// Begins to write the segments of those streams of `library` whose past is kept.
    ///
    /// # Errors
    ///
    /// When the folder can't be made or emptied, or another gateway has it.
    pub fn start(settings: &DvrSettings, library: Library) -> io::Result<Self> {
        let mut archive = Archive::open(settings, library)?;
        let (stop, stopped) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("dvr".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    archive.round();
                }
                archive.clear();
                // Nobody may wait for it any more.
                let _ = end.send(());
            })?;
        Ok(Self { stop, ended })
    }

    /// Ends the thread, which removes its files. A disk that hangs is not waited for.
    pub fn stop(self) {
        drop(self.stop);
        if self.ended.recv_timeout(PATIENCE).is_err() {
            tracing::warn!("the files of the DVR were not removed in time");
        }
    }
}

/// What the thread has.
#[derive(Debug)]
struct Archive {
    folder: PathBuf,
    max_bytes: u64,
    library: Library,
    ledger: Ledger,
    /// The presentations of the ledger.
    streams: BTreeMap<u64, (Weak<Presentation>, Arc<Path>)>,
    /// The disk has failed, which is told once until it works again.
    failing: bool,
    /// Held as long as the folder is ours.
    _lock: File,
}

impl Archive {
    fn open(settings: &DvrSettings, library: Library) -> io::Result<Self> {
        let folder = settings.directory.join(FOLDER);
        // Not everybody may watch every stream.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.try_lock().map_err(|error| {
            let text = format!("{} is in use: {error}", folder.display());
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })?;
        let archive = Self {
            folder,
            max_bytes: settings.max_bytes,
            library,
            ledger: Ledger::default(),
            streams: BTreeMap::new(),
            failing: false,
            _lock: lock,
        };
        archive.clear();
        Ok(archive)
    }

    /// Removes the folders of streams, also those of a run that did not end well.
    fn clear(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = name
                .to_str()
                .is_some_and(|name| name.parse::<u64>().is_ok());
            if ours && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "a folder of the DVR stays");
            }
        }
    }

    /// Removes what is not needed any more, and writes what is not there yet.
    fn round(&mut self) {
        self.sweep();
        let mut working = true;
        for presentation in self.library.filing() {
            while working && let Some(segment) = presentation.unfiled() {
                working = self.keep(&presentation, &segment);
            }
        }
        let counters = self.library.filing_counters();
        counters.set(self.ledger.bytes(), self.ledger.segments());
    }

    fn sweep(&mut self) {
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        for stream in streams {
            let presentation = self.presentation(stream);
            let Some(oldest) = presentation.map(|it| it.oldest()) else {
                self.ledger.remove(stream);
                if let Some((_, folder)) = self.streams.remove(&stream) {
                    self.handle_removed(fs::remove_dir_all(folder));
                }
                continue;
            };
            while let Some(entry) = self.ledger.pop_of(stream, oldest.unwrap_or(u64::MAX)) {
                self.remove(stream, entry.rendition, entry.number);
            }
        }
    }

    /// Writes a segment, for which the oldest make room. Gives whether the disk works.
    fn keep(&mut self, presentation: &Arc<Presentation>, segment: &Unfiled) -> bool {
        let (rendition, number) = (segment.rendition, segment.number);
        let bytes = segment.body.iter().map(|piece| piece.len() as u64).sum();
        if bytes > self.max_bytes {
            presentation.unfile_through(number);
            return true;
        }
        while self.ledger.bytes() + bytes > self.max_bytes
            && let Some((stream, gone)) = self.ledger.pop()
        {
            // The playlists first: a player that has asked already is sent the open file.
            if let Some(presentation) = self.presentation(stream) {
                presentation.unfile_through(gone.number);
            }
            self.remove(stream, gone.rendition, gone.number);
        }
        let stream = presentation.id();
        let folder = self.streams.entry(stream).or_insert_with(|| {
            let folder = self.folder.join(stream.to_string());
            (Arc::downgrade(presentation), folder.into())
        });
        let folder = Arc::clone(&folder.1);
        if let Err(error) = write(&folder, segment) {
            self.handle_failure(&error);
            return false;
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("the DVR works again");
        }
        self.ledger.add(stream, rendition, number, bytes);
        presentation.set_filed(rendition, number, &folder);
        true
    }

    fn presentation(&self, stream: u64) -> Option<Arc<Presentation>> {
        self.streams.get(&stream)?.0.upgrade()
    }

    fn remove(&mut self, stream: u64, rendition: RenditionId, number: u64) {
        let Some((_, folder)) = self.streams.get(&stream) else {
            return;
        };
        self.handle_removed(fs::remove_file(folder.join(file_name(rendition, number))));
    }

    fn handle_removed(&mut self, removed: io::Result<()>) {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.handle_failure(&error),
            Ok(()) | Err(_) => {}
        }
    }

    /// Counts a failure, and tells of the first until something can be written again.
    fn handle_failure(&mut self, error: &io::Error) {
        self.library.filing_counters().handle_failure();
        if !std::mem::replace(&mut self.failing, true) {
            let folder = self.folder.display();
            tracing::error!(%error, %folder, "the DVR fails; all else goes on");
        }
    }
}

/// A file is known to playlists only once it is whole.
fn write(folder: &Path, segment: &Unfiled) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let path = folder.join(file_name(segment.rendition, segment.number));
    let mut file = File::create(&path)?;
    let mut pieces = segment.body.iter();
    let written = pieces.try_for_each(|piece| file.write_all(piece));
    if written.is_err() {
        // The place that it takes is needed; that it failed is told already.
        let _ = fs::remove_file(&path);
    }
    written
}

/// How often it is looked for segments: memory keeps them for seconds.
const PAUSE: Duration = Duration::from_millis(250);
/// How long files may take to be removed at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ours, below the directory that is set.
const FOLDER: &str = "tidegate-dvr";
/// Locked by the gateway that has the folder.
const LOCK: &str = "lock";

#[cfg(test)]
mod tests;
