//! Settings that change while the process runs: the file is read again, and what may change is taken.

use std::fs::File;
use std::io::Read;

use super::{ConfigError, Problem, Settings, Sources, load};

/// Bytes of the file that are compared; nobody writes settings that long.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Looks at the settings' file of a running process.
pub struct Watch {
    sources: Sources,
    running: Settings,
    /// The file when it was last judged.
    judged: Option<Vec<u8>>,
    /// The file at the last look.
    seen: Option<Vec<u8>>,
}

/// What has become of the settings.
#[derive(Debug)]
pub enum Change {
    /// The file is as it was, or is just being written.
    None,
    /// They were read again.
    Taken {
        /// Those that hold from now on.
        settings: Box<Settings>,
        /// The keys that changed, such as `log.level`.
        changed: Vec<String>,
        /// The keys that differ from what the process runs with and cannot change while it does.
        waiting: Vec<String>,
    },
    /// They cannot be used; nothing changed.
    Refused(ConfigError),
}

impl Watch {
    /// Of a process that was started with what these sources said.
    pub fn new(sources: Sources, running: Settings) -> Watch {
        let seen = content(&sources);
        Watch {
            sources,
            running,
            judged: seen.clone(),
            seen,
        }
    }

    /// Judges the file if it has changed and is the same as at the look before: half of a file says
    /// something else than the whole. `at_once` judges it in any case. Reads files: not for a thread on
    /// which others wait.
    pub fn look(&mut self, at_once: bool) -> Change {
        let content = content(&self.sources);
        let settled = content == self.seen;
        self.seen = content;
        if !at_once && (!settled || self.seen == self.judged) {
            return Change::None;
        }
        let gone = self.seen.is_none() && self.judged.is_some();
        self.judged.clone_from(&self.seen);
        if gone {
            return Change::Refused(self.gone());
        }
        match load(&self.sources) {
            Ok(found) => self.take(&found),
            Err(error) => Change::Refused(error),
        }
    }

    fn take(&mut self, found: &Settings) -> Change {
        let differences = self.running.differences(found).into_iter();
        let (live, other): (Vec<_>, Vec<_>) = differences.partition(|knob| knob.live);
        self.running.adopt(found);
        let keys = |knobs: Vec<&super::Knob>| knobs.iter().map(|knob| knob.key()).collect();
        Change::Taken {
            settings: Box::new(self.running.clone()),
            changed: keys(live),
            waiting: keys(other),
        }
    }

    /// A file that was there has a reason; without it everything would be as if it had never been written.
    fn gone(&self) -> ConfigError {
        let path = self.sources.path();
        ConfigError {
            problems: vec![Problem {
                key: "file".to_owned(),
                problem: "is not there any more".to_owned(),
                origin: path.map_or_else(String::new, |path| format!("file {}", path.display())),
            }],
        }
    }
}

fn content(sources: &Sources) -> Option<Vec<u8>> {
    let file = File::open(sources.path()?).ok()?;
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of settings of its own.
    struct Scene {
        path: std::path::PathBuf,
        watch: Watch,
    }

    impl Scene {
        fn new(content: &str) -> Scene {
            let name = format!("daybook-live-{}.toml", uuid::Uuid::now_v7());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, content).unwrap();
            let sources = Sources {
                optional_file: Some(path.clone()),
                ..Sources::default()
            };
            let running = load(&sources).unwrap();
            let watch = Watch::new(sources, running);
            Scene { path, watch }
        }

        fn write(&self, content: &str) {
            std::fs::write(&self.path, content).unwrap();
        }

        /// What the second look at a file that does not change any more says.
        fn settled(&mut self) -> Change {
            assert!(matches!(self.watch.look(false), Change::None));
            self.watch.look(false)
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn taken(change: Change) -> (Settings, Vec<String>, Vec<String>) {
        match change {
            Change::Taken {
                settings,
                changed,
                waiting,
            } => (*settings, changed, waiting),
            other => panic!("not taken: {other:?}"),
        }
    }

    fn refused(change: Change) -> String {
        match change {
            Change::Refused(error) => error.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_may_change_is_taken_and_the_rest_waits() {
        let mut scene = Scene::new("[limits]\nuser_per_minute = 10\n");
        scene.write("[limits]\nuser_per_minute = 20\ndepth_max = 3\n");
        let (settings, changed, waiting) = taken(scene.settled());
        assert_eq!(changed, ["limits.user_per_minute"]);
        assert_eq!(waiting, ["limits.depth_max"]);
        assert_eq!(settings.limits.user_per_minute, 20);
        assert_eq!(settings.limits.depth_max, 10);
        assert!(matches!(scene.watch.look(false), Change::None));
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing_and_is_told_of_once() {
        let mut scene = Scene::new("[limits]\nuser_per_minute = 10\n");
        for (content, named) in [
            ("[limits]\nuser_per_minute = 0\n", "limits.user_per_minute"),
            ("[limits]\nuser_per_minut = 5\n", "did you mean"),
            ("[limits\n", "file"),
            ("[log]\nlevel = \"loud\"\n", "log.level"),
        ] {
            scene.write(content);
            let said = refused(scene.settled());
            assert!(said.contains(named), "{said}");
            assert!(matches!(scene.watch.look(false), Change::None));
        }
        scene.write("[limits]\nuser_per_minute = 11\n");
        assert_eq!(taken(scene.settled()).1, ["limits.user_per_minute"]);
    }

    #[test]
    fn a_file_that_is_gone_takes_nothing_back() {
        let mut scene = Scene::new("[limits]\nuser_per_minute = 10\n");
        std::fs::remove_file(&scene.path).unwrap();
        let said = refused(scene.settled());
        assert!(said.contains("not there any more"), "{said}");
        assert!(matches!(scene.watch.look(false), Change::None));
        scene.write("[limits]\nuser_per_minute = 12\n");
        assert_eq!(taken(scene.settled()).0.limits.user_per_minute, 12);
    }

    #[test]
    fn whoever_asks_is_answered_at_once() {
        let mut scene = Scene::new("");
        scene.write("[log]\nlevel = \"debug\"\n");
        assert_eq!(taken(scene.watch.look(true)).1, ["log.level"]);
        let (_, changed, waiting) = taken(scene.watch.look(true));
        assert_eq!((changed.len(), waiting.len()), (0, 0));
    }

    #[test]
    fn whatever_can_change_has_somebody_who_learns_of_it() {
        let live = super::super::knobs().into_iter().filter(|knob| knob.live);
        let mut sections: Vec<&str> = live.map(|knob| knob.section).collect();
        sections.dedup();
        // `app::live` tells the sources of webhooks, the limiter and the log's filter.
        assert_eq!(sections, ["intake", "limits", "log"]);
    }
}
