//! The parts of the page: each is measured by itself, one after the other.

use std::error::Error;
use std::fs;
use std::io::Write;

use serde_json::Value;

use super::contest::Contest;
use super::options::Options;
use super::plan::Plan;
#[cfg(feature = "peers")]
use super::within_tokio;
use super::{
    chart, contestants, cores, datagrams, growth, hyper, json, processes, proxies, read_with,
    table, windows,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// How servers differ.
    Servers,
    /// How cost grows with connections and size.
    Growth,
    /// What a second core brings.
    Cores,
    /// A client with a matcher of its own.
    ReadWith,
    Datagrams,
    Processes,
    Proxies,
    Hyper,
    WithinTokio,
    Windows,
}

impl Section {
    pub(crate) const ALL: [Self; 10] = [
        Self::Servers,
        Self::Growth,
        Self::Cores,
        Self::ReadWith,
        Self::Datagrams,
        Self::Processes,
        Self::Proxies,
        Self::Hyper,
        Self::WithinTokio,
        Self::Windows,
    ];

    /// Its name on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Growth => "growth",
            Self::Cores => "cores",
            Self::ReadWith => "read-with",
            Self::Datagrams => "datagrams",
            Self::Processes => "processes",
            Self::Proxies => "proxies",
            Self::Hyper => "hyper",
            Self::WithinTokio => "within-tokio",
            Self::Windows => "windows",
        }
    }

    /// Its heading on the page.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Servers => "## Figures",
            Self::Growth => "### Connections, and bytes in a message",
            Self::Cores => "## Several cores",
            Self::ReadWith => "## Reads by a matcher of one's own",
            Self::Datagrams => "## Datagrams",
            Self::Processes => "## Processes",
            Self::Proxies => "## A proxy",
            Self::Hyper => "## hyper",
            Self::WithinTokio => "## Within tokio",
            Self::Windows => "## Windows",
        }
    }

    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|section| section.name() == name);
        found.ok_or_else(|| format!("{name:?} is not one of {}", names()))
    }

    /// Who takes part in it.
    pub(crate) fn names(self) -> Vec<&'static str> {
        match self {
            Self::Servers | Self::Growth => contestants::names(),
            Self::Cores => cores::names(),
            Self::ReadWith => read_with::names(),
            Self::Datagrams => datagrams::names(),
            Self::Processes => processes::names(),
            Self::Proxies => proxies::names(),
            Self::Hyper => hyper::names(),
            #[cfg(feature = "peers")]
            Self::WithinTokio => within_tokio::names(),
            #[cfg(not(feature = "peers"))]
            Self::WithinTokio => Vec::new(),
            Self::Windows => Vec::new(),
        }
    }

    /// Measures it and tells. Returns each single measurement, and how many failed.
    pub(crate) fn run(self, options: &Options, out: &mut impl Write) -> Told {
        match self {
            Self::Servers => servers(self, Plan::servers(options)?, options, out),
            Self::Growth => servers(self, Plan::growth(options)?, options, out),
            Self::Cores => Ok((cores::Plan::new(options)?.run(out)?, 0)),
            Self::ReadWith => tell(&read_with::measure(options)?, out),
            Self::Datagrams => tell(&datagrams::measure(options)?, out),
            Self::Processes => tell(&processes::measure(options), out),
            Self::Proxies => tell(&proxies::measure(options)?, out),
            Self::Hyper => tell(&hyper::measure(options)?, out),
            #[cfg(feature = "peers")]
            Self::WithinTokio => tell(&within_tokio::measure(options)?, out),
            #[cfg(not(feature = "peers"))]
            Self::WithinTokio => {
                let missing = "Within tokio: not measured, built without the feature `peers`";
                tell(&Contest::skipped(missing.into()), out)
            }
            Self::Windows => {
                windows::write(out)?;
                Ok((Value::Null, 0))
            }
        }
    }
}

type Told = Result<(Value, usize), Box<dyn Error>>;

fn servers(section: Section, plan: Plan, options: &Options, out: &mut impl Write) -> Told {
    let figures = plan.run()?;
    table::write(&figures, out)?;
    if let Some(file) = options.svg(section) {
        let svg = if figures.plan.growth { growth::svg(&figures)? } else { chart::svg(&figures)? };
        fs::write(file, svg)?;
    }
    Ok((json::value(&figures), figures.failures))
}

fn tell(contest: &Contest, out: &mut impl Write) -> Told {
    contest.write(out)?;
    Ok((contest.json(), contest.failures))
}
