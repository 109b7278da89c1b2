#!/usr/bin/env bash
# Builds the real programs that some tests talk to, once: a LiveKit server and Stripe's own mock, into .make/go. Without
# Go, or where its modules cannot be fetched, it says so; the tests that need them are then skipped and name this.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs=(
  'livekit-server github.com/livekit/livekit-server v1.11.0 ./cmd/server'
  'stripe-mock github.com/stripe/stripe-mock v0.203.0 .'
)
folder=$PWD/.make/go
log=$folder/build.log
mkdir -p "$folder"

say() { printf 'counterparts: %s\n' "$*"; }

PATH=$PATH:/usr/local/go/bin
for program in "${programs[@]}"; do
  read -r name module version package <<< "$program"
  [ -x "$folder/$name" ] && [ "$(cat "$folder/$name.version" 2> /dev/null)" = "$version" ] && continue
  if ! command -v go > /dev/null; then
    say "Go is not installed, so there is no $name"
    continue
  fi
  say "building $name $version"
  # Not `go install`: a module may replace some of its dependencies.
  if (
    cd "$(go mod download -json "$module@$version" 2> "$log" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" \
      && go build -mod=readonly -trimpath -o "$folder/$name.new" "$package"
  ) >> "$log" 2>&1; then
    mv "$folder/$name.new" "$folder/$name"
    echo "$version" > "$folder/$name.version"
  else
    say "there is no $name, see $log"
  fi
done
