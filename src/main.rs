//! The `dockstream` program.

use std::process::ExitCode;

use dockstream::cli::{Cli, Command, Exit};
use dockstream::{commands, config};

fn main() -> ExitCode {
    let exit = match Cli::from_process() {
        Ok(cli) => carry_out(&cli),
        Err(exit) => exit,
    };
    exit.into()
}

fn carry_out(cli: &Cli) -> Exit {
    let (overrides, environment) = (cli.overrides(), config::Environment::of_process());
    let folder = std::path::Path::new(".");
    if let Command::Config(show) = cli.command() {
        return commands::show(show.text(&overrides, &environment, folder));
    }
    match config::load(&overrides, &environment, folder) {
        Ok(loaded) => match cli.command() {
            Command::Check => commands::check(&loaded),
            Command::Migrate => commands::migrate(&loaded),
            Command::Deadletter(action) => commands::deadletter(&loaded, &action),
            Command::Demo(demo) => commands::demo(loaded, demo),
            Command::Run | Command::Config(_) => {
                let reading = config::Reading::new(overrides, environment, folder);
                commands::run(&loaded, Some(commands::Again { reading, is_watched: cli.watches() }))
            }
        },
        Err(error) => commands::refuse(&error),
    }
}
