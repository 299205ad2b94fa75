#!/usr/bin/env bash
# Brings the jars of the Fluss that tables are measured beside. Run it, or source it.
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"

FLUSS_VERSION=0.9.1-incubating
FLUSS_JARS="$WEIR_CACHE/fluss-$FLUSS_VERSION"

need_java
if [ ! -e "$FLUSS_JARS/fluss-server-$FLUSS_VERSION.jar" ]; then
  fetch_jars "Fluss $FLUSS_VERSION (160 MB, once)" bench/fluss/pom.xml "$FLUSS_JARS" "-Dfluss.version=$FLUSS_VERSION"
fi
