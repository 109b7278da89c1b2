#!/usr/bin/env bash
# Installs everything the project needs, once: Debian packages, .venv, node_modules and what Deno runs.
#
# A second run finds the stamp and ends at once, offline. A change of a lock file, of the interpreter or
# of this script makes the next run install again. Only Debian packages need root.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=.make/setup
deno_dir=${DENO_DIR:-$PWD/.make/deno}
packages=(
  postgresql-15
  postgresql-15-cron
  postgresql-15-pgtap
  postgresql-15-plpgsql-check
  libtap-parser-sourcehandler-pgtap-perl
  pgbouncer
)

say() { printf 'setup: %s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

quietly() {
  local log=.make/install.log
  "$@" > "$log" 2>&1 || {
    tail -n 40 "$log" >&2
    fail "failed: $*"
  }
}

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null | grep -qx installed; }

fingerprint() {
  sha256sum requirements.txt package-lock.json pyproject.toml .npmrc deno.json deno.lock scripts/setup.sh
  echo "$PWD $deno_dir $python $(node --version 2> /dev/null)"
}

node_fingerprint() { sha256sum package.json package-lock.json .npmrc; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

python=$(find_python) || fail 'missing: Python 3.11 or newer (set PYTHON to choose one).'

if [ -f "$stamp" ] && [ -x .venv/bin/taximeter ] && [ -d node_modules/.bin ] \
  && [ -d "$deno_dir" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; then
  exit 0
fi
mkdir -p .make

missing=()
if command -v dpkg-query > /dev/null; then
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
elif ! command -v initdb > /dev/null || ! command -v pg_prove > /dev/null; then
  fail 'This is not Debian or Ubuntu: install PostgreSQL 15 with pg_cron, pgTAP and plpgsql_check, and' \
    'pg_prove, put initdb and pg_prove on PATH, and run this again.'
fi
"$python" -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv)
command -v node > /dev/null || missing+=(nodejs)
command -v npm > /dev/null || missing+=(npm)

# Installing postgresql-15 makes and starts a cluster `main` on port 5432, which nobody asked for.
# The switch is only there while we install; a cluster that exists is not touched.
no_main=/etc/postgresql-common/createcluster.d/taximeter-setup.conf
install_packages() {
  [ "$(id -u)" -eq 0 ] || fail "missing: ${missing[*]}" \
    "Run this once as root, or: sudo apt-get install --no-install-recommends ${missing[*]}" \
    '(to keep Debian from starting a server of its own, first put create_main_cluster = false' \
    ' into /etc/postgresql-common/createcluster.conf)'
  say "installing ${missing[*]}"
  local made_folder=no apt=(apt-get -o DPkg::Lock::Timeout=600)
  [ -d "${no_main%/*}" ] || made_folder=yes
  mkdir -p "${no_main%/*}"
  trap 'rm -f "$no_main"' EXIT
  printf 'create_main_cluster = false\n' > "$no_main"
  export DEBIAN_FRONTEND=noninteractive
  if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" > .make/install.log 2>&1; then
    quietly "${apt[@]}" update
    quietly "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
  fi
  rm -f "$no_main"
  trap - EXIT
  # Nor did anybody ask for the pooler that this package starts: tests run their own.
  if [[ " ${missing[*]} " == *' pgbouncer '* ]]; then
    quietly invoke-rc.d pgbouncer stop
    quietly update-rc.d pgbouncer disable
  fi
  [ "$made_folder" = no ] || rmdir --ignore-fail-on-non-empty "${no_main%/*}" 2> /dev/null || true
}
[ ${#missing[@]} -eq 0 ] || install_packages

node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' \
  || fail "missing: Node 20 or newer (this is $(node --version))."

say 'installing Python packages into .venv'
[ -x .venv/bin/python ] || quietly "$python" -m venv .venv
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Already installed packages satisfy the lock without a look at any registry.
quietly .venv/bin/python -m pip install --require-hashes -r requirements.txt
quietly .venv/bin/python -m pip install --no-deps --no-build-isolation -e .

if [ "$(cat .make/node 2> /dev/null)" != "$(node_fingerprint)" ] || [ ! -d node_modules/.bin ]; then
  say 'installing Node packages into node_modules'
  quietly npm ci --prefer-offline --no-audit --no-fund
  node_fingerprint > .make/node
fi

say 'filling the cache of Deno with what the edge functions import'
# Types too: everything afterwards, tests and checks, works offline. No lifecycle script is run.
shopt -s globstar
quietly env DENO_DIR="$deno_dir" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 \
  .venv/bin/deno cache --quiet --frozen supabase/functions/**/*.ts

fingerprint > "$stamp"
say 'done'
