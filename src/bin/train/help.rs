//! The commands `train completions` and `train man`: help for shells and for `man`.

use crate::args::{Args, CompletionsArgs, ManArgs};
use crate::output::write_out;
use clap_mangen::Man;
use onesheet::version::VERSION;
use onesheet::{Error, Result, files};
use std::path::Path;

/// Prints the script of a shell.
pub fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::commands(), "train", &mut script);
    write_out(&String::from_utf8_lossy(&script));
}

/// Prints the page of `train`, or writes the pages of all commands.
pub fn man(args: &ManArgs) -> Result<()> {
    // A page belongs to a version, not to the machine that it was made on.
    let mut commands = Args::commands().long_version(VERSION).disable_help_subcommand(true);
    commands.build();
    match &args.dir {
        None => write_out(&String::from_utf8_lossy(&rendered(&page(commands)))),
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
            write_pages(&commands, folder)?;
        }
    }
    Ok(())
}

/// Writes the page of a command and those of the commands below it.
fn write_pages(command: &clap::Command, folder: &Path) -> Result<()> {
    let page = page(command.clone());
    files::write_atomically(&folder.join(page.get_filename()), |file| file.write_all(&rendered(&page)))?;
    command.get_subcommands().try_for_each(|below| write_pages(below, folder))
}

fn page(command: clap::Command) -> Man {
    Man::new(command).source(format!("onesheet {VERSION}")).manual("onesheet")
}

fn rendered(page: &Man) -> Vec<u8> {
    let mut text = Vec::new();
    page.render(&mut text).expect("a Vec takes all");
    text
}
