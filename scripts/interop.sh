#!/bin/sh
# Official clients of standards against a server of this very build; `lianxin with-services` has put private databases into the
# environment. Once with attachments in a folder, once with an S3-compatible store. Needs Node.js 18 or newer with npm, which
# `make interop` installs where it can.
set -eu
cd "$(dirname "$0")/.."
: "${DATABASE_URL:?is not set; run \`make interop\`}"

log=$(mktemp)
stored=$(mktemp)
running=
end() {
  for one in $running; do
    kill "$one" 2>/dev/null || true
    wait "$one" 2>/dev/null || true
  done
  running=
}
trap 'end; rm -f "$log" "$stored"' EXIT
trap 'exit 1' HUP INT TERM

# Waits until a condition holds, for as long as the process lives.
until_true() {
  what=$1 process=$2
  shift 2
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ] || ! kill -0 "$process" 2>/dev/null; then
      echo "$what did not start:" >&2
      cat "$log" >&2
      exit 1
    fi
    sleep 0.5
  done
}

# The official tus client against the server as the environment configures it.
tus() {
  port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
  PORT=$port WRITES_PER_MINUTE=100000 LOG=warn target/debug/lianxin run > "$log" 2>&1 &
  running="$! $running"
  URL=http://127.0.0.1:$port
  until_true "the server" "$!" \
    node -e "fetch('$URL/readyz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"
  URL=$URL node tests/interop/tus.js || { tail -n 20 "$log" >&2; exit 1; }
  end
}

# Exactly what package-lock.json names.
npm ci --prefix tests/interop --prefer-offline --no-audit --no-fund --loglevel=error --fetch-retries=2 --fetch-timeout=20000 >/dev/null

echo "tus-js-client, attachments in a folder:"
tus

echo "tus-js-client, attachments in an S3-compatible store:"
export S3_BUCKET=lianxin-files S3_ACCESS_KEY=S3RVER S3_SECRET_KEY=S3RVER
node tests/interop/s3.js > "$stored" 2> "$log" &
running=$!
until_true "the store" "$!" test -s "$stored"
S3_ENDPOINT=http://127.0.0.1:$(cat "$stored")
export S3_ENDPOINT
tus
