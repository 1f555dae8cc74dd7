//! What can be asked of the dead letter.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use model::Stream;

/// What to do with refused records.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DeadLetter {
    /// Show what was refused: when, by whom, why, how often
    List {
        #[command(flatten)]
        /// Which of them.
        of: Letters,
        /// Print every record, whole, as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Deliver it again to the sink that refused it; exit 75 where some of it is still kept
    Replay {
        #[command(flatten)]
        /// Which of them.
        of: Letters,
        /// Only say what would be delivered
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which refused records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Letters {
    /// Only of this sink
    #[arg(long, value_name = "SINK")]
    pub sink: Option<String>,
    /// Only of this stream
    #[arg(long, value_name = "STREAM", value_parser = stream())]
    pub stream: Option<Stream>,
}

fn stream() -> impl TypedValueParser<Value = Stream> {
    let names = Stream::ALL.map(Stream::name);
    PossibleValuesParser::new(names).map(|name| {
        let named = Stream::ALL.into_iter().find(|stream| stream.name() == name);
        named.expect("only the names of streams are possible")
    })
}
