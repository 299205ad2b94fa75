# Sourced by the other scripts: what the build needs, and where its results are kept.
#
# Packages are installed where they are missing, by apt as root or with sudo. Build results lie
# outside the checkout, so that a fresh clone finds them: $WEIR_CACHE, by default ~/.cache/weir.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

WEIR_CACHE="${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}"
export WEIR_CACHE
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$WEIR_CACHE/target}"

say() { printf '\n==> %s\n' "$*"; }
fail() { printf '\nerror: %s\n' "$*" >&2; exit 1; }

# need_packages PACKAGE...: installs those that are not there.
need_packages() {
  command -v dpkg-query >/dev/null || fail "this script installs Debian packages; elsewhere install yourself: $*"
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "as root, run: apt-get install -y ${missing[*]}"
    sudo=sudo
  fi
  say "installing ${missing[*]}"
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null ||
    fail "apt-get could not install them; run: apt-get install -y ${missing[*]}"
}

need_rust() {
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  command -v cargo >/dev/null || fail "a Rust toolchain is missing: install rustup, see https://rustup.rs"
}

# crate_folder NAME: where cargo keeps the source of a crate; its last part is named for the version.
crate_folder() {
  local crates manifest
  crates="$(cargo metadata --format-version 1 --locked)" || fail "cargo could not fetch the crates, see above"
  manifest="$(grep -o "\"manifest_path\":\"[^\"]*/$1-[0-9][^\"/]*/Cargo.toml\"" <<<"$crates" | head -n 1 | cut -d '"' -f 4)"
  [ -n "$manifest" ] || fail "cargo does not know the crate $1"
  dirname "$manifest"
}

# RocksDB is C++ and its bindings are made with libclang.
BUILD_PACKAGES=(g++ make pkg-config libclang-dev)
