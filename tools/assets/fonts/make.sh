#!/usr/bin/env bash
# Makes DejaVuSans.ttf of the font that matplotlib ships: Latin, Greek, Cyrillic and some punctuation, without hints.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -r "$work"' EXIT
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet fonttools==4.68.0
"$work/python/bin/pip" download --quiet --no-deps --dest "$work" matplotlib==3.11.2
python3 -m zipfile -e "$work"/matplotlib-*.whl "$work"
fonts="$work/matplotlib/mpl-data/fonts/ttf"
"$work/python/bin/pyftsubset" "$fonts/DejaVuSans.ttf" --output-file="$here/DejaVuSans.ttf" \
    --unicodes=U+0020-007E,U+00A0-017F,U+0370-03FF,U+0400-045F,U+2013,U+2014,U+2019,U+2026 \
    --layout-features=kern --no-hinting --drop-tables+=FFTM
cp "$fonts/LICENSE_DEJAVU" "$here/LICENSE"
