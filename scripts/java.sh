# Sourced by the scripts that bring something for Java; sources setup.sh.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# java_is_new: whether there is a Java that runs Kafka 4.
java_is_new() {
  local version
  version="$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')"
  [ "${version:-0}" -ge 17 ]
}

need_java() {
  java_is_new || need_packages default-jdk-headless
  java_is_new || need_packages openjdk-17-jdk-headless
  java_is_new || fail "Java 17 or newer is needed, and java is $(command -v java || echo missing)"
}

# fetch_jars WHAT POM DIR [PROPERTY...]: fills DIR with the jars that POM names.
fetch_jars() {
  command -v mvn >/dev/null || need_packages maven
  say "fetching $1"
  # Filled beside its place, so that a run that is cut short leaves nothing half.
  rm -rf "$3.part"
  mvn -q -B -f "$2" "-DoutputDirectory=$3.part" "${@:4}" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies ||
    fail "Maven could not fetch $1; if a proxy or mirror is needed, set it in ~/.m2/settings.xml"
  rm -rf "$3"
  mv "$3.part" "$3"
}
