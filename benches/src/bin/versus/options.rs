//! What the user wants: which sections, of whom, and how long.

use std::error::Error;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pico_args::Arguments;

use super::cases::{self, Case};
use super::contestants::{self, Contestant};
use super::sections::Section;

pub(crate) struct Options {
    pub(crate) sections: Vec<Section>,
    /// Only these take part; all, if it is empty.
    names: Vec<String>,
    /// Servers of the user's own.
    pub(crate) others: Vec<Contestant>,
    /// Only these; all, if it is empty.
    pub(crate) cases: Vec<&'static Case>,
    pub(crate) json: Option<PathBuf>,
    svg: Option<PathBuf>,
    rounds: Option<usize>,
    length: Option<Duration>,
    quick: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let others = arguments.values_from_fn("--server", contestants::command);
        let cases = arguments.values_from_fn("--case", cases::find);
        let only = named("--only", arguments.values_from_fn("--only", Section::find))?;
        let mut options = Self {
            sections: Section::ALL.to_vec(),
            names: arguments.values_from_str("--with")?,
            others: named("--server", others)?,
            cases: named("--case", cases)?,
            json: arguments.opt_value_from_str("--json")?,
            svg: arguments.opt_value_from_str("--svg")?,
            rounds: named("--rounds", arguments.opt_value_from_str("--rounds"))?,
            length: named("--seconds", arguments.opt_value_from_fn("--seconds", seconds))?,
            quick: arguments.contains("--quick"),
        };
        let unknown = arguments.finish();
        if !unknown.is_empty() {
            return Err(format!("unknown arguments: {unknown:?}").into());
        }
        if options.rounds == Some(0) {
            return Err("--rounds 0: nothing to measure".into());
        }
        if !only.is_empty() {
            options.sections.retain(|section| only.contains(section));
        }
        // What only the servers have is a wish for them.
        if !(options.cases.is_empty() && options.others.is_empty()) {
            options.sections.retain(|&section| section == Section::Servers);
            if options.sections.is_empty() {
                return Err("--case and --server go with --only servers".into());
            }
        }
        options.choose_by_name()?;
        Ok(options)
    }

    /// Leaves out the sections that have none of those who were asked for.
    fn choose_by_name(&mut self) -> Result<(), Box<dyn Error>> {
        if self.names.is_empty() {
            return Ok(());
        }
        let mut known: Vec<_> = self.sections.iter().flat_map(|one| one.names()).collect();
        let unknown = |asked: &&String| !known.iter().any(|name| name.eq_ignore_ascii_case(asked));
        if let Some(name) = self.names.iter().find(unknown) {
            known.sort_unstable();
            known.dedup();
            return Err(format!("--with {name}: not one of {}", known.join(", ")).into());
        }
        let mut sections = mem::take(&mut self.sections);
        sections.retain(|section| section.names().iter().any(|name| self.wants(name, true)));
        self.sections = sections;
        Ok(())
    }

    /// Whether someone takes part. `unasked` says so if nobody was named.
    pub(crate) fn wants(&self, name: &str, unasked: bool) -> bool {
        match &self.names[..] {
            [] => unasked,
            names => names.iter().any(|asked| asked.eq_ignore_ascii_case(name)),
        }
    }

    /// How many rounds, where `usual` are usual.
    pub(crate) fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { usual })
    }

    /// How long one measurement takes.
    pub(crate) fn length(&self, usual: Duration) -> Duration {
        self.length.unwrap_or(if self.quick { usual / 2 } else { usual })
    }

    /// The same in full seconds, a second at least.
    pub(crate) fn full_seconds(&self, usual: Duration) -> u32 {
        let length = self.length(usual);
        let full = length.as_secs() + u64::from(length.subsec_nanos() > 0);
        u32::try_from(full.max(1)).unwrap_or(u32::MAX)
    }

    /// How many of something one measurement takes.
    pub(crate) fn count(&self, usual: u32) -> u32 {
        if self.quick { usual / 4 } else { usual }
    }

    /// Where the chart of a section goes to, if one is wanted.
    pub(crate) fn svg(&self, section: Section) -> Option<PathBuf> {
        let svg = self.svg.as_deref()?;
        let beside_another = self.sections.contains(&Section::Servers);
        Some(match section {
            Section::Growth if beside_another => growth_beside(svg),
            _ => svg.to_owned(),
        })
    }
}

/// `docs/performance.svg` becomes `docs/performance-growth.svg`.
fn growth_beside(svg: &Path) -> PathBuf {
    let mut name = svg.file_stem().unwrap_or_default().to_owned();
    name.push("-growth");
    let mut file = svg.with_file_name(name);
    if let Some(extension) = svg.extension() {
        file.as_mut_os_string().push(".");
        file.as_mut_os_string().push(extension);
    }
    file
}

/// An error that says which option it is about.
fn named<T>(option: &str, value: Result<T, pico_args::Error>) -> Result<T, String> {
    value.map_err(|error| format!("{option}: {error}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err("nothing to measure".into()),
        length => length.map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let arguments = text.split_whitespace().map(Into::into).collect();
        Options::parse(Arguments::from_vec(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn sections_are_chosen_by_their_names_and_by_who_takes_part() {
        assert_eq!(parse("").unwrap().sections, Section::ALL);
        let chosen = parse("--only cores --only read-with").unwrap().sections;
        assert_eq!(chosen, [Section::Cores, Section::ReadWith]);
        assert_eq!(parse("--case lines").unwrap().sections, [Section::Servers]);
        assert_eq!(parse("--with Splice").unwrap().sections, [Section::Proxies]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("--only hypre", "hypre"),
            ("--with epol", "epol"),
            ("--only cores --with epoll", "epoll"),
            ("--case 1x65", "1x65"),
            ("--only cores --case lines", "--only servers"),
            ("--rounds 0", "--rounds"),
            ("--seconds 0", "--seconds"),
            ("--seconds -1", "-1"),
            ("--rounds many", "--rounds"),
            ("--markdown", "--markdown"),
        ] {
            let error = parse(text).err().unwrap_or_default();
            assert!(error.contains(named), "{text}: {error:?}");
        }
    }

    #[test]
    fn the_chart_of_growth_has_a_name_of_its_own_beside_another() {
        let svg = |text: &str| parse(text).unwrap().svg(Section::Growth).unwrap();
        let both = svg("--svg docs/performance.svg");
        assert_eq!(both, Path::new("docs/performance-growth.svg"));
        assert_eq!(svg("--only growth --svg it.svg"), Path::new("it.svg"));
    }
}
