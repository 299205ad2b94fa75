#!/usr/bin/env bash
# Brings the jars of the Kafka that Weir is compared with, its command line tools among them. Run it, or source it.
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"

KAFKA_VERSION=4.3.0
KAFKA_JARS="$WEIR_CACHE/kafka-$KAFKA_VERSION"

need_java
if [ ! -e "$KAFKA_JARS/kafka-tools-$KAFKA_VERSION.jar" ] || [ ! -e "$KAFKA_JARS/kafka_2.13-$KAFKA_VERSION.jar" ]; then
  fetch_jars "Kafka $KAFKA_VERSION (54 MB, once)" compat-tests/differential/pom.xml "$KAFKA_JARS" \
    "-Dkafka.version=$KAFKA_VERSION"
fi
