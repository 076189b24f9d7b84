#!/bin/sh
# Makes the virtual environment and installs the workspace into it: setup.sh VENV WHAT-UV-INSTALLS...
set -eu
venv=$1
shift
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "sipcore needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Try: make PYTHON=python3.12 ..." >&2
    exit 1
}
if [ ! -x "$venv/bin/python" ]; then
    echo "Making the virtual environment $venv"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing Debian's python3-venv"
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        echo "$python has no venv module: run 'sudo apt-get install python3-venv', then make again." >&2
        exit 1
    }
    "$python" -m venv "$venv"
fi
echo "Installing into $venv: $*"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
"$venv/bin/uv" pip install --python "$venv/bin/python" -c constraints.txt "$@"
