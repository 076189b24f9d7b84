#!/bin/sh
# Tests the engine "transformers" of llm_qwen in an environment of its own: torch is not in the other one.
# Python 3.11 alone: the index that CI uses has torch as a small build for the CPU for no other. What is given
# to this script goes to pytest.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.venv-transformers
installed=$venv/.installed

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$version" != 3.11 ]; then
    echo "NOT RUN: the tests of llm_qwen's engine \"transformers\" need Python 3.11, and $python is $version."
    echo "         Try: make test-transformers PYTHON=python3.11"
    exit 0
fi
if [ ! -x "$venv/bin/python" ]; then
    echo "Making the virtual environment $venv"
    "$python" -m venv "$venv"
fi
manifests="constraints-transformers.txt core/pyproject.toml plugins/llm_qwen/pyproject.toml scripts/test-transformers.sh"
# shellcheck disable=SC2086 # a list of words
if [ ! -e "$installed" ] || [ -n "$(find $manifests -newer "$installed")" ]; then
    echo "Installing torch, transformers and what they need into $venv"
    # Not by uv: it does not look where pip finds the build for the CPU, and would fetch CUDA.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints-transformers.txt \
        -e core -e "plugins/llm_qwen[transformers]" pytest pytest-timeout
    touch "$installed"
fi
exec "$venv/bin/python" -m pytest -o norecursedirs= tests/transformers "$@"
