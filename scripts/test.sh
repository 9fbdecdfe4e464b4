#!/bin/sh
# Runs all tests; `lianxin with-services` has put the private databases into the environment.
set -eu
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --no-fail-fast "$@"
fi
exec cargo test "$@"
