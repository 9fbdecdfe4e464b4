#!/bin/sh
# Sees to it that Node.js (18 or newer) and npm are installed.
set -eu
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "missing: Node.js 18 or newer with npm (Debian: sudo apt-get install nodejs npm)" >&2
  exit 1
fi
echo "installing nodejs and npm (Debian packages)"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
