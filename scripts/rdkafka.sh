# Sourced by the scripts that build a part of librdkafka, from the source that the crate rdkafka-sys carries; sources setup.sh.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_packages gcc make zlib1g-dev
need_rust

# build_rdkafka WHAT NAME FILE COMMAND: builds librdkafka in a folder of that name, and FILE there by COMMAND, where it is
# missing. $rdkafka_built is the folder.
build_rdkafka() {
  local source
  source="$(crate_folder rdkafka-sys)"
  rdkafka_built="$WEIR_CACHE/${source##*/}-$2"
  [ -x "$rdkafka_built/$3" ] && return
  say "building $1 (a minute or two, once)"
  rm -rf "$rdkafka_built.part" "$rdkafka_built"
  cp -r "$source/librdkafka" "$rdkafka_built.part"
  if ! (
    cd "$rdkafka_built.part" &&
      ./configure --disable-ssl --disable-gssapi --disable-curl --disable-zstd --disable-lz4-ext &&
      make -j2 -C src librdkafka.a && eval "$4"
  ) >"$rdkafka_built.log" 2>&1; then
    tail -n 20 "$rdkafka_built.log" >&2
    fail "$1 could not be built, see $rdkafka_built.log"
  fi
  mv "$rdkafka_built.part" "$rdkafka_built"
}
