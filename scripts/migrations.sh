#!/bin/sh
# Checks that every migration can be taken back without a trace, and that up, down, up ends where up did.
# `lianxin with-services` has put a private PostgreSQL into the environment. A database of its own is made for this and
# dropped again, so that nothing depends on what an earlier run left behind.
set -eu
cd "$(dirname "$0")/.."

bin=target/debug/lianxin
name=lianxin_gate
: "${DATABASE_OWNER_URL:?is not set; run \`make gate\`}"
case $DATABASE_OWNER_URL in
  */lianxin\?*) ;;
  *) echo "this takes migrations back: it runs on the private server of \`make gate\`, not on DATABASE_OWNER_URL's" >&2; exit 1 ;;
esac
other() { printf '%s\n' "$DATABASE_OWNER_URL" | sed "s|/lianxin?|/$1?|"; }

# The newest pg_dump: an older one refuses a newer server.
tools=""
newest=0
for dump in $(command -v pg_dump 2>/dev/null) /usr/lib/postgresql/*/bin/pg_dump /usr/local/pgsql/bin/pg_dump \
  /opt/homebrew/opt/postgresql*/bin/pg_dump /usr/local/opt/postgresql*/bin/pg_dump; do
  [ -x "$dump" ] || continue
  major=$("$dump" --version | sed 's/^[^)]*) *\([0-9]*\).*/\1/')
  # Equal versions too: Debian's own folder rather than its wrapper in PATH.
  if [ "${major:-0}" -ge "$newest" ]; then newest=$major tools=$(dirname "$dump"); fi
done
[ -n "$tools" ] || { echo "pg_dump was not found: install PostgreSQL's client programs" >&2; exit 1; }

temp=$(mktemp -d)
drop() { "$tools/dropdb" --if-exists --force --maintenance-db="$(other postgres)" "$name"; }
trap 'drop >/dev/null 2>&1 || true; rm -rf "$temp"' EXIT
trap 'exit 1' HUP INT TERM

drop 2>/dev/null
"$tools/createdb" --maintenance-db="$(other postgres)" --template=template0 --encoding=UTF8 "$name"
DATABASE_OWNER_URL=$(other "$name")
export DATABASE_OWNER_URL

# Newer minor versions fence the dump with \restrict and a random word.
dump() { "$tools/pg_dump" --schema-only "$@" "$DATABASE_OWNER_URL" > "$temp/raw"; sed '/^\\\(un\)\{0,1\}restrict /d' "$temp/raw"; }

"$bin" migrate
dump > "$temp/first"

"$bin" migrate --down
dump --exclude-table=__diesel_schema_migrations > "$temp/down"
if sed -e '/^--/d' -e '/^SET /d' -e '/^SELECT pg_catalog.set_config/d' -e '/^$/d' "$temp/down" | grep . >&2; then
  echo "the down migrations leave this behind" >&2
  exit 1
fi

"$bin" migrate > /dev/null
dump > "$temp/second"
if ! diff -u "$temp/first" "$temp/second" >&2; then
  echo "up, down, up gives another schema (+) than up alone (-)" >&2
  exit 1
fi
echo "up, down and up again: the same schema"
