#!/usr/bin/env bash
# Brings the jars of the Kafka that the tests compare answers with. Run it, or source it.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

KAFKA_VERSION=4.3.0
KAFKA_JARS="$WEIR_CACHE/kafka-$KAFKA_VERSION"

# java_is_new: whether there is a Java that runs Kafka 4.
java_is_new() {
  local version
  version="$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')"
  [ "${version:-0}" -ge 17 ]
}

java_is_new || need_packages default-jdk-headless
java_is_new || need_packages openjdk-17-jdk-headless
java_is_new || fail "Kafka $KAFKA_VERSION needs Java 17 or newer, and java is $(command -v java || echo missing)"

if [ ! -e "$KAFKA_JARS/kafka-tools-$KAFKA_VERSION.jar" ] || [ ! -e "$KAFKA_JARS/kafka_2.13-$KAFKA_VERSION.jar" ]; then
  command -v mvn >/dev/null || need_packages maven
  say "fetching Kafka $KAFKA_VERSION (54 MB, once)"
  # Filled beside its place, so that a run that is cut short leaves nothing half.
  rm -rf "$KAFKA_JARS.part"
  mvn -q -B -f compat-tests/differential/pom.xml "-Dkafka.version=$KAFKA_VERSION" \
    "-DoutputDirectory=$KAFKA_JARS.part" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies ||
    fail "Maven could not fetch Kafka $KAFKA_VERSION; if a proxy or mirror is needed, set it in ~/.m2/settings.xml"
  rm -rf "$KAFKA_JARS"
  mv "$KAFKA_JARS.part" "$KAFKA_JARS"
fi
