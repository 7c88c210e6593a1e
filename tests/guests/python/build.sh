#!/bin/sh
# Builds the Python guest: build.sh COMPONENT. componentize-py goes into an environment of its own beside it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
component=$1
environment=$(dirname "$component")/venv
mkdir -p "$(dirname "$component")"
# One build at a time, and none when nothing changed.
exec 9>"$component.lock"
flock 9
if [ ! -x "$environment/bin/componentize-py" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
if [ -n "$(find "$here/app.py" "$here/wit" "$here/requirements.txt" -newer "$component" 2>/dev/null)" ] || [ ! -e "$component" ]; then
    cd "$here"
    "$environment/bin/componentize-py" -d wit -w python componentize app -o "$component.new"
    mv "$component.new" "$component"
fi
