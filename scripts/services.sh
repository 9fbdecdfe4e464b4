#!/bin/sh
# Sees to it that PostgreSQL (15 or newer) and Redis (7 or newer, or Valkey) are installed; starts nothing.
# Where they are missing and apt-get can be used, Debian's packages are installed, without leaving a service behind.
set -eu

have_postgres() {
  for initdb in $(command -v initdb 2>/dev/null) /usr/lib/postgresql/*/bin/initdb /usr/local/pgsql/bin/initdb \
    /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb; do
    [ -x "$initdb" ] || continue
    major=$("$initdb" --version | sed 's/^[^)]*) *\([0-9]*\).*/\1/')
    [ "${major:-0}" -ge 15 ] && return 0
  done
  return 1
}

have_redis() {
  for server in redis-server valkey-server; do
    found=$(command -v $server 2>/dev/null) || continue
    major=$("$found" --version | sed 's/.*v=\([0-9]*\).*/\1/')
    [ "${major:-0}" -ge 7 ] && return 0
  done
  return 1
}

if [ -n "${DATABASE_URL:-}" ] && [ -n "${REDIS_URL:-}" ]; then exit 0; fi
missing=""
have_postgres || missing="postgresql"
have_redis || missing="${missing:+$missing }redis-server"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "missing: $missing. Install PostgreSQL 15 or newer and Redis 7 or newer (Debian: sudo apt-get install postgresql redis-server; macOS: brew install postgresql@16 redis), or set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL." >&2
  exit 1
fi

echo "installing $missing (Debian packages; no service is left running)"
# Debian's packages start what they install: policy-rc.d forbids that, and no cluster is made.
made_policy=""
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  made_policy=yes
fi
made_config=""
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
  made_config=yes
fi
cleanup() {
  [ -z "$made_policy" ] || rm -f /usr/sbin/policy-rc.d
  [ -n "$made_config" ] || return 0
  # The package's own version was put beside ours.
  conf=/etc/postgresql-common/createcluster.conf
  rm -f $conf
  for own in $conf.dpkg-dist $conf.ucf-dist; do
    [ ! -e "$own" ] || mv "$own" $conf
  done
}
trap cleanup EXIT INT TERM
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# --force-confold: a configuration file that is there already is kept without asking.
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold $missing >/dev/null
have_postgres && have_redis || { echo "Debian's packages are too old: PostgreSQL 15 and Redis 7 are needed" >&2; exit 1; }
