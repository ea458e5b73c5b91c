#!/usr/bin/env bash
# Make the virtual environment FOLDER with this project and one of its extras in it.
#
#   tools/venv.sh FOLDER EXTRA [PYTHON VERSION]
#
# Costs nothing when the environment is there already: pip runs again only after a change of what it
# reads (the settings, and the sources of the native part), a copy of which is the stamp. (File times
# would not do: a clone resets them.)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 extra=$2 version=${3:-}
mkdir -p "$folder"
# Two terminals may ask at the same moment, and pip does not lock. macOS has no flock.
exec 9>"$folder/.lock"
if command -v flock >/dev/null; then flock 9; fi

# PYTHON=... asks for a certain interpreter: an environment made with another one is thrown away.
if [ -n "${PYTHON:-}" ] || ! "$folder/bin/python" -c "" 2>/dev/null; then
    python=$(tools/find_python.sh ${version:+"$version"})
    if [ "$(cat "$folder/.made-with" 2>/dev/null)" != "$python" ] ||
        ! "$folder/bin/python" -c "" 2>/dev/null; then
        echo "Making $folder with $("$python" --version) ..." >&2
        # Everything but the lock, which this run holds.
        find "$folder" -mindepth 1 ! -path "$folder/.lock" -delete
        "$python" -m venv "$folder"
        echo "$python" >"$folder/.made-with"
    fi
fi

# Each extra contains the one before it.
case $extra in
    cli) enough="cli test dev" ;;
    test) enough="test dev" ;;
    *) enough=$extra ;;
esac
native=src/proactor/engines/native load=src/proactor/load
stamp() {
    cat pyproject.toml setup.py $native/*.pyx $native/face/* $native/core/*.[ch] $native/core/*/*
    cat $load/*.pyx $load/core/*.[ch]
    echo "PROACTOR_PURE=${PROACTOR_PURE:-}"
}
for installed in $enough; do
    if stamp | cmp -s - "$folder/.installed-$installed"; then exit 0; fi
done
echo "Installing proactor[$extra] into $folder ..." >&2
# -qq still prints errors. Warnings about newer versions of pip are of no use to anyone here.
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
    -e ".[$extra]" </dev/null
stamp >"$folder/.installed-$extra"
