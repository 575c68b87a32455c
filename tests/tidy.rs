//! The house stays in order: data runs one way, rooms say what they are, files stay short.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, each with the rooms that it may import from.
const ROOMS: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("ingest", &["model"]),
    ("compile", &["model"]),
    ("simulate", &["model", "compile"]),
    ("replay", &["model", "ingest", "compile", "simulate"]),
    ("analyze", &["model", "compile", "simulate", "replay"]),
    ("report", &["model", "compile", "simulate", "replay", "analyze"]),
    ("cli", &["model", "ingest", "compile", "simulate", "replay", "analyze", "report"]),
];

/// The most lines of a file.
const MOST_LINES: usize = 900;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rooms that a text names by `crate::room`, also inside braces: `crate::{model::rule, ingest}`. Comments do not
/// count: a room may tell where its values go.
fn rooms_named(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut named = Vec::new();
    for rest in code.join("\n").split("crate::").skip(1) {
        let word = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect()
        };
        match rest.strip_prefix('{') {
            None => named.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut starts = true;
                for (position, letter) in list.char_indices() {
                    if starts && depth == 0 && letter != '}' {
                        named.push(word(&list[position..]));
                        starts = false;
                    }
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => starts = true,
                        _ => {}
                    }
                }
            }
        }
    }
    named
}

#[test]
fn data_runs_one_way() {
    let mut wrong = Vec::new();
    for (room, may_import) in ROOMS {
        let folder = source().join(room);
        if !folder.is_dir() {
            continue;
        }
        for path in rust_files(&folder) {
            for named in rooms_named(&read(&path)) {
                let is_room = ROOMS.iter().any(|(other, _)| *other == named);
                if is_room && named != room && !may_import.contains(&named.as_str()) {
                    wrong.push(format!("{}: {room} may not import from {named}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_read_with_and_without_braces() {
    let text =
        "use crate::model::rule::Rule;\nuse crate::{ingest, report::{a, b}, cli::x};\n// use crate::replay;";
    assert_eq!(rooms_named(text), ["model", "ingest", "report", "cli"]);
}

#[test]
fn every_folder_of_the_source_is_a_room() {
    for entry in fs::read_dir(source()).expect("the source can be listed") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let known = ROOMS.iter().any(|(room, _)| *room == name);
        assert!(!path.is_dir() || known, "`{name}` is not in the table of rooms");
    }
}

#[test]
fn each_room_opens_by_telling_its_place() {
    for (room, _) in ROOMS {
        let path = source().join(room).join("mod.rs");
        if path.is_file() {
            assert!(read(&path).starts_with("//! "), "{} opens without a `//!`", path.display());
        }
    }
}

#[test]
fn files_are_short_and_finished() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    // Put together here, so that this file does not hold what it looks for.
    let unfinished = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let ignored = ["#[", "ignore"].concat();
    let mut wrong = Vec::new();
    for path in rust_files(&source()).into_iter().chain(rust_files(&tests)) {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines, at most {MOST_LINES}", path.display()));
        }
        for mark in unfinished.iter().chain([&ignored]) {
            if text.contains(mark.as_str()) {
                wrong.push(format!("{}: holds `{mark}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
