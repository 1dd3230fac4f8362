//! Runs the binary on the small checkpoints of the repository, whole and broken.

mod bad_arguments;
mod bad_models;
mod batch;
mod bench;
mod broken;
mod builtin;
mod commands;
mod generate;
mod training;
mod weights;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn text_of(path: impl Into<PathBuf>) -> String {
    path.into().to_str().expect("paths of tests are plain").to_owned()
}

/// What a run of the binary gave.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_depthscale"));
    command.args(arguments).env_remove("CLICOLOR_FORCE").env_remove("DEPTHSCALE_BACKEND").stdin(Stdio::null());
    // Without it Mesa's drivers complain on stderr of every program that looks for a GPU.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Run {
    finish(command(arguments))
}

/// Runs with bytes on stdin.
fn run_with_stdin(arguments: &[&str], stdin: &[u8]) -> Run {
    let mut command = command(arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(stdin).expect("stdin is read");
    result(child.wait_with_output().expect("the binary ends"))
}

fn finish(mut command: Command) -> Run {
    result(command.output().expect("the binary starts"))
}

fn result(output: std::process::Output) -> Run {
    let text = |bytes| String::from_utf8(bytes).expect("what is printed is UTF-8");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Run {
    /// Ended well; what it printed.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Refused with this exit code and one message on stderr that holds all of these, and nothing on stdout.
    #[track_caller]
    fn refused(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {}", self.stderr);
        }
    }

    /// As [`Self::refused`] with a failure whose message is a single line.
    #[track_caller]
    fn failed(self, parts: &[&str]) {
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.refused(1, parts);
    }
}
