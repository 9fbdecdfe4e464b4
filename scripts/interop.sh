#!/bin/sh
# Official clients of standards against a server of this very build; `lianxin with-services` has put private databases into the
# environment. Needs Node.js 18 or newer with npm, which `make interop` installs where it can.
set -eu
cd "$(dirname "$0")/.."
: "${DATABASE_URL:?is not set; run \`make interop\`}"

log=$(mktemp)
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
PORT=$port WRITES_PER_MINUTE=100000 LOG=warn target/debug/lianxin run > "$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM

URL=http://127.0.0.1:$port
tries=0
until node -e "fetch('$URL/readyz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"; do
  tries=$((tries + 1))
  if [ "$tries" -gt 120 ] || ! kill -0 "$server" 2>/dev/null; then
    echo "the server did not start:" >&2
    cat "$log" >&2
    exit 1
  fi
  sleep 0.5
done

# Exactly what package-lock.json names.
npm ci --prefix tests/interop --prefer-offline --no-audit --no-fund --loglevel=error --fetch-retries=2 --fetch-timeout=20000 >/dev/null
URL=$URL node tests/interop/tus.js || { tail -n 20 "$log" >&2; exit 1; }
