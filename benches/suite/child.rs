//! Processes that are measured from outside: what they burn, hold and open.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The kernel tells CPU times in ticks of 1/100 s, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// CPU time a living process has used, in steps of 10 ms; zero where there is no such process.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in the second field may hold anything, so count from behind it: user and system time are 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// A child that ends with this process, and when it is dropped.
pub struct Measured {
    name: &'static str,
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a process did and held over a while.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time, in percent of one core.
    pub cpu_percent: f64,
    /// The most resident memory seen, in MiB.
    pub memory_mib: f64,
    /// Descriptors open at the end.
    pub descriptors: usize,
}

impl Measured {
    /// Starts `command`, whose name is `name` to people.
    pub fn spawn(name: &'static str, command: &Command) -> anyhow::Result<Self> {
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            tied.current_dir(folder);
        }
        // What is measured is what is asked for here, whatever the shell says.
        for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOCKSTREAM_")) {
            tied.env_remove(variable);
        }
        let mut process = tied
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {name} under setpriv"))?;
        let commands = process.stdin.take().context("stdin is piped")?;
        let answers = BufReader::new(process.stdout.take().context("stdout is piped")?);
        Ok(Self { name, process, commands, answers })
    }

    /// The next line it prints that holds `text`.
    pub fn line(&mut self, text: &str) -> anyhow::Result<String> {
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                bail!("{} ended before it said {text:?}", self.name);
            }
            if line.contains(text) {
                return Ok(line.trim_end().to_owned());
            }
        }
    }

    /// Asks one of the suite's own processes for its count.
    pub fn count(&mut self) -> anyhow::Result<u64> {
        writeln!(self.commands)?;
        let line = self.line("")?;
        line.parse().with_context(|| format!("{} said {line:?}", self.name))
    }

    /// Waits until its count satisfies `enough`, for `within` at most.
    pub fn until(&mut self, within: Duration, enough: impl Fn(u64) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let count = self.count()?;
            if enough(count) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} stands at {count} after {within:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn memory_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib / 1024.0)
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).map_or(0, Iterator::count)
    }
}

/// Watches processes side by side for `window`.
pub fn watch<const N: usize>(window: Duration, processes: [&Measured; N]) -> [Usage; N] {
    let since = Instant::now();
    let before = processes.map(|process| cpu_of(process.process.id()));
    let mut memory = [0.0_f64; N];
    while since.elapsed() < window {
        std::thread::sleep(Duration::from_millis(500).min(window.saturating_sub(since.elapsed())));
        for (process, most) in processes.iter().zip(&mut memory) {
            *most = most.max(process.memory_mib());
        }
    }
    let took = since.elapsed().as_secs_f64();
    std::array::from_fn(|index| {
        let process = processes[index];
        let spent = cpu_of(process.process.id()).saturating_sub(before[index]);
        Usage {
            cpu_percent: spent.as_secs_f64() / took * 100.0,
            memory_mib: memory[index],
            descriptors: process.descriptors(),
        }
    })
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
