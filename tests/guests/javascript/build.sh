#!/bin/sh
# Builds the JavaScript guest: build.sh COMPONENT [componentize-js options]. componentize-js goes into the folder
# `javascript` beside the component. Needs Node 18 or newer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
component=$1
shift
tools=$(dirname "$component")/javascript
mkdir -p "$tools"
# One build at a time, and none when nothing changed.
exec 9>"$tools.lock"
flock 9
newer() {
    [ ! -e "$1" ] || [ -n "$(find "$here/$2" "$here/$3" "$here/build.sh" -newer "$1")" ]
}
if newer "$tools/installed" package.json package-lock.json; then
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$tools/"
    # No script of a package runs, and the lock file says which bytes each package has.
    npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel error
    touch "$tools/installed"
fi
if newer "$component" app.js wit; then
    node "$tools/node_modules/@bytecodealliance/componentize-js/src/cli.js" \
        "$here/app.js" --wit "$here/wit" -n javascript -o "$component.new" "$@"
    mv "$component.new" "$component"
fi
