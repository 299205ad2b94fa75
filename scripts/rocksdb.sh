# Sourced by the scripts that build: compiles RocksDB once, in a fifth of the time that its crate takes.
#
# Most of a compiler's work on RocksDB's 342 files is the headers that they share, so a few units include all of
# them. The source is the crate librocksdb-sys's, and the archive is handed to it by the variables that it has for
# this. Without them, `cargo build` compiles each file by itself.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

ROCKSDB_UNITS=12
# What the largest unit takes to compile, in KB.
ROCKSDB_UNIT_MEMORY=2200000

# As the crate compiles it on Linux, but without warnings; g++ reads them from a file.
rocksdb_flags() {
  printf '"%s"\n' -std=c++20 -O2 -w -fPIC -ffunction-sections -fdata-sections -include cstdint \
    -DNDEBUG -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX \
    -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT \
    -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT -DLZ4 -DZSTD \
    "-I$1/rocksdb/include" "-I$1/rocksdb" "-I$1" \
    "-I$(crate_folder lz4-sys)/liblz4/lib" "-I$(crate_folder zstd-sys)/zstd/lib"
}

# How many units are compiled at a time: one a processor, as far as the memory allows.
rocksdb_jobs() {
  local by_memory processors
  by_memory=$(($(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo) / ROCKSDB_UNIT_MEMORY))
  processors="$(nproc)"
  [ "$by_memory" -lt "$processors" ] && processors="$by_memory"
  [ "$processors" -ge 1 ] && echo "$processors" || echo 1
}

# rocksdb_units SOURCE DIR: writes units that include all files of the source.
rocksdb_units() {
  grep . "$1/rocksdb_lib_sources.txt" | grep -v '^util/build_version.cc$' >"$2/sources" &&
    split --number="l/$ROCKSDB_UNITS" --numeric-suffixes=1 --additional-suffix=.cc \
      --filter='sed "s/.*/#include \"&\"/" >"$FILE"' "$2/sources" "$2/unit-" &&
    echo '#include "build_version.cc"' >>"$2/unit-01.cc"
}

# compile_rocksdb DIR: makes librocksdb.a of the units there. Each says when it is done, as this takes minutes.
compile_rocksdb() {
  (
    cd "$1" && printf '%s\n' unit-*.cc |
      xargs -P "$(rocksdb_jobs)" -I{} sh -c "g++ @flags -c {} -o {}.o && echo '    {} of $ROCKSDB_UNITS'" &&
      ar rcs librocksdb.a unit-*.o
  )
}

need_packages "${BUILD_PACKAGES[@]}"
need_rust
rocksdb_source="$(crate_folder librocksdb-sys)"
ROCKSDB_LIB_DIR="$WEIR_CACHE/${rocksdb_source##*/}-$(sha256sum <scripts/rocksdb.sh | cut -c 1-12)"
ROCKSDB_STATIC=1
export ROCKSDB_LIB_DIR ROCKSDB_STATIC

if [ ! -e "$ROCKSDB_LIB_DIR/librocksdb.a" ]; then
  say "compiling RocksDB (once; six minutes on two processors)"
  # Filled beside its place, so that a run that is cut short leaves nothing half.
  part="$ROCKSDB_LIB_DIR.part"
  rm -rf "$part"
  mkdir -p "$part"
  rocksdb_flags "$rocksdb_source" >"$part/flags"
  rocksdb_units "$rocksdb_source" "$part"
  compile_rocksdb "$part" ||
    fail "RocksDB could not be compiled, see above; if the memory was not enough, close other programs and run this again"
  rm "$part"/unit-*
  mv "$part" "$ROCKSDB_LIB_DIR"
fi
