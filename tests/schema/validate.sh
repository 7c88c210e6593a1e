#!/bin/sh
# Validates workflow files with Python's jsonschema, in an environment of its own: validate.sh ENVIRONMENT SCHEMA FILE…
set -eu
here=$(cd "$(dirname "$0")" && pwd)
environment=$1
shift
mkdir -p "$(dirname "$environment")"
# One at a time makes it.
exec 9>"$environment.lock"
flock 9
if [ ! -e "$environment/installed" ] || [ "$here/requirements.txt" -nt "$environment/installed" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --requirement "$here/requirements.txt"
    touch "$environment/installed"
fi
exec "$environment/bin/python" "$here/validate.py" "$@"
