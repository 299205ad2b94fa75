#!/usr/bin/env bash
# Builds librdkafka's load generator from the source that the crate rdkafka-sys carries. Run it, or source it.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_packages gcc make zlib1g-dev
need_rust
rdkafka_sys="$(crate_folder rdkafka-sys)"
rdkafka_built="$WEIR_CACHE/${rdkafka_sys##*/}-examples"
RDKAFKA_PERFORMANCE="$rdkafka_built/examples/rdkafka_performance"

if [ ! -x "$RDKAFKA_PERFORMANCE" ]; then
  say "building rdkafka_performance (a minute, once)"
  rm -rf "$rdkafka_built.part" "$rdkafka_built"
  cp -r "$rdkafka_sys/librdkafka" "$rdkafka_built.part"
  if ! (
    cd "$rdkafka_built.part" &&
      ./configure --disable-ssl --disable-gssapi --disable-curl --disable-zstd --disable-lz4-ext &&
      make -j2 -C src librdkafka.a && make -C examples rdkafka_performance
  ) >"$rdkafka_built.log" 2>&1; then
    tail -n 20 "$rdkafka_built.log" >&2
    fail "rdkafka_performance could not be built, see $rdkafka_built.log"
  fi
  mv "$rdkafka_built.part" "$rdkafka_built"
fi
