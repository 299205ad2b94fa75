#!/usr/bin/env bash
# Builds librdkafka's load generator. Run it, or source it.
. "$(dirname "${BASH_SOURCE[0]}")/rdkafka.sh"

build_rdkafka rdkafka_performance examples examples/rdkafka_performance 'make -C examples rdkafka_performance'
RDKAFKA_PERFORMANCE="$rdkafka_built/examples/rdkafka_performance"
