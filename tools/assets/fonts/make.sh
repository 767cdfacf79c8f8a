#!/usr/bin/env bash
# Makes DejaVuSans.ttf of the font that matplotlib ships: Latin (with Vietnamese), Greek, Cyrillic, Armenian, Georgian
# and some punctuation, without hints. Scripts whose letters change or run to the left need more than a font.
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
    --unicodes=U+0020-007E,U+00A0-024F,U+0300-0304,U+0306-030C,U+0323,U+0327,U+0328,U+0370-03FF,U+0400-052F,U+0531-058A,U+10D0-10FC,U+1E00-1EFF,U+2010-2027,U+2030,U+2032,U+2033,U+2039,U+203A,U+2070-208E,U+20A0-20BF,U+2116,U+2122,U+2190-2193,U+2212,U+2264,U+2265 \
    --layout-features=kern --no-hinting --drop-tables+=FFTM
cp "$fonts/LICENSE_DEJAVU" "$here/LICENSE"
