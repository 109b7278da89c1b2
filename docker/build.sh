#!/usr/bin/env bash
# Builds the test database's image unless the engine has it, and prints its name.
#
# No image registry is needed: as root, the base is bootstrapped from the Debian mirror this machine
# already uses (TAXIMETER_DEBIAN_MIRROR names another). TAXIMETER_BASE_IMAGE names a base to use
# instead, any Debian 12; somebody who is not root gets debian:bookworm-slim, which is pulled.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=bookworm

say() { printf 'image: %s\n' "$*" >&2; }

fail() {
  printf 'image: %s\n' "$@" >&2
  exit 1
}

quietly() {
  "$@" > "$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; return 1; }
}

has_image() { docker image inspect "$1" > /dev/null 2>&1; }

# What this machine's apt knows of Debian, so that a mirror or a proxy set up here is used.
debian_sources() {
  local fields='$(ORIGIN) $(COMPONENT) $(CREATED_BY) $(REPO_URI) $(CODENAME)'
  local ours="^Debian main Packages (https?://[^ ]+) ($suite(-updates|-security)?)\$"
  apt-get indextargets --format "$fields" 2> /dev/null \
    | sed -nE "s#$ours#deb \1 \2 main#p" \
    | sort -u
}

bootstrap_base() {
  command -v debootstrap > /dev/null || fail 'missing: debootstrap (apt-get install debootstrap)'
  local root="$work/root" sources mirror options=(--variant=minbase)
  sources=$(debian_sources)
  mirror=$(sed -nE "s#^deb ([^ ]+) $suite main\$#\1#p" <<< "$sources" | head -n 1)
  mirror=${TAXIMETER_DEBIAN_MIRROR:-$mirror}
  case $mirror in https:*) options+=(--include=ca-certificates) ;; esac
  say "bootstrapping Debian $suite"
  quietly debootstrap "${options[@]}" "$suite" "$root" ${mirror:+"$mirror"} \
    || fail "debootstrap failed, see above"
  [ -n "${TAXIMETER_DEBIAN_MIRROR:-}" ] || [ -z "$sources" ] \
    || printf '%s\n' "$sources" > "$root/etc/apt/sources.list"
  rm -f "$root"/var/cache/apt/archives/*.deb
  tar -C "$root" --one-file-system --exclude='./dev/*' -c . \
    | docker import - "$1" > /dev/null
}

DOCKER_HOST=$("$here/engine.sh" up)
export DOCKER_HOST

recipe=$(cat "$here/Dockerfile" "$here/entrypoint.sh" | sha256sum | cut -c 1-12)
image="taximeter-postgres:15-$recipe"
if has_image "$image"; then
  echo "$image"
  exit 0
fi

started=$SECONDS
work=$(mktemp -d "${TMPDIR:-/var/tmp}/taximeter-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
# One build at a time in this checkout; who waited finds the image made.
exec 9< "$here/Dockerfile"
flock 9
if has_image "$image"; then
  echo "$image"
  exit 0
fi

base=${TAXIMETER_BASE_IMAGE:-}
if [ -z "$base" ] && [ "$(id -u)" -eq 0 ]; then
  base="taximeter-base:$suite"
  has_image "$base" || bootstrap_base "$base"
fi
base=${base:-debian:$suite-slim}

# Without buildx only the older builder is there, and it has to be asked for.
docker buildx version > /dev/null 2>&1 || export DOCKER_BUILDKIT=0
proxies=()
for name in http_proxy https_proxy no_proxy; do
  [ -z "${!name:-}" ] || proxies+=(--build-arg "$name")
done
say "building $image on $base"
quietly docker build --network host --build-arg "BASE_IMAGE=$base" "${proxies[@]}" \
  --tag "$image" "$here" \
  || fail "docker build failed, see above" \
    "It needs $base (set TAXIMETER_BASE_IMAGE to another Debian 12) and a reachable Debian mirror."
say "ready after $((SECONDS - started)) s"
echo "$image"
