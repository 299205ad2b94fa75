//! Where the scripts keep what they fetch and build.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// `WEIR_CACHE`, as `scripts/setup.sh` has it.
pub fn dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    set("WEIR_CACHE")
        .or_else(|| user().map(|dir| dir.join("weir")))
        .context("none of WEIR_CACHE, XDG_CACHE_HOME and HOME is set")
}
