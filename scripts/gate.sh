#!/bin/sh
# What must hold before a commit. `make gate` has seen to it that PostgreSQL and Redis are installed.
set -eu
cd "$(dirname "$0")/.."

bin=target/debug/lianxin
step() { printf '\n== %s\n' "$1"; }

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 1' HUP INT TERM

step "format"
cargo fmt --check

step "lints"
cargo clippy --all-targets --locked -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

step "the binary"
cargo build --locked

step "the document is in step with the code"
"$bin" openapi > "$temp/lianxin.json"
if ! cmp -s openapi/lianxin.json "$temp/lianxin.json"; then
  diff -u openapi/lianxin.json "$temp/lianxin.json" | head -n 40 >&2
  echo "openapi/lianxin.json is not what the code says (-: the file, +: the code): run \`make openapi\` and commit it" >&2
  exit 1
fi

step "migrations up, down and up again"
# Nothing from a shell that happens to point at a real installation leaks in.
env -u DATABASE_URL -u DATABASE_OWNER_URL -u REDIS_URL -u LIANXIN_CONFIG \
  LIANXIN_MODE=development LIANXIN_DATA=.lianxin/gate LOG=error "$bin" with-services -- sh scripts/migrations.sh

step "the gate is open"
