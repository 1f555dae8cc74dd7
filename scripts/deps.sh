#!/usr/bin/env bash
# Installs what is missing, and says what before it does: `scripts/deps.sh GROUP...`
#
#   build    a C compiler and make, for SQLite and librdkafka, and OpenSSL, for TLS to Kafka
#   test     the servers the tests run: Docker engines, stable and current, Podman, an SSH server, Apache Kafka, Apicurio Registry,
#            the ClickHouse engine, PostgreSQL, InfluxDB, Redis, Prometheus, the OpenTelemetry Collector's receiver
#   check    the tools of `make check`
#
# A second run finds everything and does nothing. Downloads are kept in .cache/ and in the caches of apt, pip, Maven, Go, cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY=0.20.2
TYPOS=1.52.0
DEBIAN_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
MAVEN_COPY=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies

say() { echo "deps: $*"; }
fail() { echo "deps: $*" >&2; exit 1; }
has() { command -v "$1" > /dev/null; }

# Runs a command as root; where that is not possible, says which command a person has to run.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "this needs root: $*"
    fi
}

# packages NAME... installs Debian packages.
packages() {
    [ $# -gt 0 ] || return 0
    has apt-get || fail "install these by hand, in this system's way: $*"
    say "installing Debian packages: $*"
    # A source of the machine that does not answer is no reason to stop: what is missing shows at the next step.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update > .cache/apt.log 2>&1 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >> .cache/apt.log 2>&1 ||
        { tail -n 20 .cache/apt.log >&2; fail "apt-get could not install them; all it said is in .cache/apt.log"; }
}

build() {
    local missing=()
    has cc || missing+=(gcc libc6-dev)
    has c++ || missing+=(g++)
    has make || missing+=(make)
    has pkg-config || missing+=(pkg-config)
    { has pkg-config && pkg-config --exists libssl; } || missing+=(libssl-dev)
    packages "${missing[@]}"
    has cargo || fail "Rust is missing: https://rustup.rs"
}

static_busybox() { has busybox && ! ldd "$(command -v busybox)" > /dev/null 2>&1; }

server_packages() {
    local missing=()
    has dockerd || missing+=(docker.io)
    static_busybox || missing+=(busybox-static)
    has setpriv || missing+=(util-linux)
    has debootstrap || missing+=(debootstrap)
    [ -f "$DEBIAN_KEYS" ] || missing+=(debian-archive-keyring)
    compgen -G '/usr/lib*/*/faketime/libfaketime.so.1' > /dev/null || missing+=(libfaketime)
    [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
    has podman || missing+=(podman)
    has java || missing+=(default-jre-headless)
    has mvn || missing+=(maven)
    has python3 || missing+=(python3)
    has influxd || missing+=(influxdb)
    has redis-server || missing+=(redis-server)
    has victoria-metrics || missing+=(victoria-metrics)
    { has prometheus && has promtool; } || missing+=(prometheus)
    { has python3 && python3 -c 'import ensurepip, venv' 2> /dev/null; } || missing+=(python3-venv)
    packages "${missing[@]}"
    has_postgres || postgres
    has docker || packages docker-cli # Debian 13 has the command line apart from the engine
}

has_postgres() { has psql && compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null; }

# The server without the cluster that Debian makes and starts beside it: the tests make their own.
postgres() {
    local clusters=/etc/postgresql-common/createcluster.conf
    packages postgresql-common
    as_root cp "$clusters" "$clusters.dockstream"
    echo 'create_main_cluster = false' | as_root tee -a "$clusters" > /dev/null
    packages postgresql
    as_root mv "$clusters.dockstream" "$clusters"
}

# The engine of Debian unstable beside the machine's own, which may be years old. Nothing of it is installed: its packages are
# checked, laid out in a folder, and tests/servers/dockerd.py --current runs it from there.
current_engine() {
    local cache=.cache/engine package mirror
    [ -f "$cache/packages" ] && return
    say "installing a current Docker engine (Debian unstable, 0.4 GB on disk) into $cache"
    as_root rm -rf "$cache"
    mkdir -p "$cache"
    # The mirror that apt uses for Debian here; elsewhere debootstrap knows one.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    as_root debootstrap --download-only --variant=minbase --include=docker.io --keyring="$DEBIAN_KEYS" sid "$PWD/$cache/download" \
        ${mirror:+"$mirror"} > .cache/engine.log 2>&1 ||
        { tail -n 20 .cache/engine.log >&2; fail "debootstrap could not fetch them; all it said is in .cache/engine.log"; }
    as_root chown -R "$(id -u):$(id -g)" "$cache/download"
    for package in "$cache"/download/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$cache"
    done
    ls "$cache/download/var/cache/apt/archives" > "$cache/download/packages"
    mv "$cache/download/packages" "$cache/packages"
    rm -rf "$cache/download"
}

clickhouse() {
    local wanted=tests/servers/requirements.txt
    cmp -s "$wanted" .cache/venv/requirements.txt && return
    say "installing the ClickHouse engine (PyPI chdb, 0.9 GB on disk) into .cache/venv"
    rm -rf .cache/venv
    python3 -m venv .cache/venv
    .cache/venv/bin/pip install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" .cache/venv/requirements.txt
}

# What the examples of consumers in Python need.
consumers() {
    local wanted=examples/requirements.txt cache=.cache/consumers
    cmp -s "$wanted" "$cache/requirements.txt" && return
    say "installing Kafka's client for Python (PyPI, 0.1 GB on disk) into $cache"
    rm -rf "$cache"
    python3 -m venv "$cache"
    "$cache/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$cache/requirements.txt"
}

kafka() {
    local wanted=tests/servers/kafka/pom.xml cache=.cache/kafka
    if ! cmp -s "$wanted" "$cache/pom.xml"; then
        say "installing Apache Kafka (Maven Central, 45 MB) into $cache"
        rm -rf "$cache"
        mvn --batch-mode --quiet -Dstyle.color=never --file "$wanted" "$MAVEN_COPY" -DincludeScope=runtime -DoutputDirectory="$PWD/$cache/libs"
        say "formatting Kafka's storage in $cache/storage"
        tests/servers/kafka.py --dir "$cache/format" --keep --format-only > "$cache/format.log" 2>&1
        mv "$cache/format/data" "$cache/storage"
        rm -rf "$cache/format"
        cp "$wanted" "$cache/pom.xml"
    fi
    # A class archive halves the broker's start. Java ignores one that another Java wrote, so it follows the Java in use.
    if [ ! "$cache/classes.jsa" -nt "$(readlink -f "$(command -v java)")" ]; then
        say "recording Kafka's classes in $cache/classes.jsa"
        rm -f "$cache/classes.jsa"
        echo stop | tests/servers/kafka.py --archive-classes > "$cache/archive.log"
        [ -f "$cache/classes.jsa" ] || fail "no class archive: see $cache/archive.log"
        touch "$cache/classes.jsa"
    fi
}

registry() {
    local wanted=tests/servers/registry/pom.xml cache=.cache/registry
    cmp -s "$wanted" "$cache/pom.xml" && return
    say "installing Apicurio Registry (Maven Central, 0.3 GB on disk) into $cache"
    rm -rf "$cache"
    mvn --batch-mode --quiet -Dstyle.color=never --file "$wanted" "$MAVEN_COPY" -DincludeScope=runtime -DexcludeTransitive=true \
        -DoutputDirectory="$PWD/$cache"
    tar --extract --gzip --file "$cache"/*-all.tar.gz --directory "$cache"
    rm "$cache"/*-all.tar.gz
    cp "$wanted" "$cache/pom.xml"
}

# The Go that otlp/go.mod wants. One from 1.21 on fetches it itself, as a module; for an older one it is done here.
go_command() {
    local wanted folder version
    wanted=$(awk '$1 == "go" { print $2 }' tests/servers/otlp/go.mod)
    has go || packages golang-go >&2
    version=$(go env GOVERSION)
    if printf 'go1.21\n%s\n' "$version" | sort --check=quiet --version-sort; then
        echo go
        return
    fi
    folder=$(cd /tmp && go mod download -json "golang.org/toolchain@v0.0.1-go$wanted.linux-$(go env GOARCH)" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    # A module's files are not executable.
    chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/*
    echo "$folder/bin/go"
}

otlp() {
    local from=tests/servers/otlp cache=.cache/otlp stamp go
    stamp=$(cat "$from"/main.go "$from"/go.mod "$from"/go.sum | sha256sum)
    [ "$(cat "$cache/built" 2> /dev/null)" = "$stamp" ] && return
    go=$(go_command)
    say "building the OpenTelemetry Collector's receiver (Go modules, 0.2 GB in Go's cache) into $cache: this takes a minute or two"
    mkdir -p "$cache"
    "$go" build -C "$from" -trimpath -ldflags '-s -w' -o "$PWD/$cache/receiver" .
    echo "$stamp" > "$cache/built"
}

check() {
    local component
    for component in clippy rustfmt; do
        cargo "${component/rustfmt/fmt}" --version > /dev/null 2>&1 && continue
        has rustup || fail "cargo $component is missing"
        say "installing the Rust component $component"
        rustup component add "$component"
    done
    if [ "$(.cache/tools/bin/typos --version 2> /dev/null)" != "typos-cli $TYPOS" ]; then
        say "installing typos $TYPOS (PyPI) into .cache/tools"
        python3 -m venv .cache/tools
        .cache/tools/bin/pip install --quiet --disable-pip-version-check "typos==$TYPOS"
    fi
    if [ "$(.cache/tools/bin/cargo-deny --version 2> /dev/null)" != "cargo-deny $CARGO_DENY" ]; then
        say "building cargo-deny $CARGO_DENY (crates.io) into .cache/tools: this takes some minutes"
        # It runs for seconds and is built once: most of the optimiser's time would be lost.
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install --quiet --locked --root .cache/tools --version "$CARGO_DENY" cargo-deny
    fi
}

mkdir -p .cache
exec 9> .cache/lock
flock 9
for group in "$@"; do
    case $group in
        build) build ;;
        test) server_packages; current_engine; clickhouse; kafka; registry; consumers; otlp ;;
        check) check ;;
        *) fail "no group $group: build, test or check" ;;
    esac
done
