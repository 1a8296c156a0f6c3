#!/bin/sh
# Installs what it takes to build, test and check pgbaton on Debian 12 or later, as root.
#
#   sh etc/deps.sh && make run
#
# May be run again at any time: it does nothing when everything is there. Starts no service, and
# makes no database cluster.
set -eu

build="gcc libc6-dev make pkg-config libpq-dev libsqlite3-dev libev-dev libinih-dev libjansson-dev libcap-dev"
run="tzdata"
tests="libcriterion-dev postgresql pgbouncer openssl procps iproute2 util-linux stress-ng"
checks="clang-format clang-tidy cppcheck bsdextrautils"
packages="$build $run $tests $checks"

# The packages that are not installed, one a line.
missing() {
    for package in $packages; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || :) in
        "install ok installed") ;;
        *) echo "$package" ;;
        esac
    done
}

# PostgreSQL's package makes and starts a cluster of the system unless it is told not to first; the
# tests start servers of their own.
refuse_main_cluster() {
    file=/etc/postgresql-common/createcluster.conf
    if grep -qs '^[[:space:]]*create_main_cluster' "$file"; then
        return
    fi
    mkdir -p "${file%/*}"
    echo "create_main_cluster = false" >>"$file"
}

# Nothing that is installed here is to be started (policy-rc.d of Debian); what the system's own
# administrator decided stands.
refuse_services() {
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 1' HUP INT TERM
}

if ! command -v dpkg-query >/dev/null; then
    echo "deps.sh: this is no Debian system; install the equivalents of: $packages" >&2
    exit 69
fi
wanted=$(missing | tr '\n' ' ')
if [ -z "$wanted" ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "deps.sh: these packages are missing, and only root can install them: $wanted" >&2
    exit 77
fi

export DEBIAN_FRONTEND=noninteractive
refuse_services
if ! dpkg-query -W -f '${Status}' postgresql 2>/dev/null | grep -q '^install ok installed'; then
    refuse_main_cluster
fi
echo "deps.sh: installing $wanted"
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $wanted >/dev/null
