//! The commands' pages are documentation that is run: each block must print what stands below it.

use std::fs;

#[test]
fn pages_are_true() {
    // Git keeps no empty folder, and a page may write here.
    fs::create_dir_all("target/tmp/empty").expect("a writable build folder");
    trycmd::TestCases::new().case("tests/cli/*.md").case("README.md");
}
