#!/usr/bin/env bash
# Gather into .gpu/ what a bare GPU machine (PyTorch, no network) lacks: wheels, FluidSynth with its libraries, a small
# soundfont. Below 64 MiB in all. See recipes/GPU.md.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
for_python=${GPU_PYTHON:-3.12}
rm -rf .gpu
mkdir -p .gpu/wheels .gpu/fluidsynth
"$python" -m pip download --quiet --disable-pip-version-check --dest .gpu/wheels --only-binary :all: \
    --python-version "$for_python" --no-deps --constraint constraints.txt \
    pydantic pydantic-core annotated-types typing-inspection soundfile cffi pycparser soxr pyloudnorm beartype

# The renderer, with every library that is not part of the C and C++ run time.
cp "$(command -v fluidsynth)" .gpu/fluidsynth/
ldd "$(command -v fluidsynth)" | awk '/=> \//{print $3}' |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux.*)\.so' | xargs -I{} cp -L {} .gpu/fluidsynth/
font=$(mktemp -d)
(cd "$font" && apt-get download -qq fluidr3mono-gm-soundfont && dpkg -x ./*.deb .)
find "$font" -name '*.sf3' -size +1M -exec cp {} .gpu/soundfont.sf3 \;
rm -rf "$font"

cat > .gpu/setup.sh <<'SETUP'
# Source this on the GPU machine, in the repository's root.
python3 -m pip install --quiet --no-index --no-deps --find-links .gpu/wheels .gpu/wheels/*.whl
cat > /usr/local/bin/fluidsynth <<WRAP
#!/bin/sh
LD_LIBRARY_PATH=$PWD/.gpu/fluidsynth exec $PWD/.gpu/fluidsynth/fluidsynth "\$@"
WRAP
chmod +x /usr/local/bin/fluidsynth
export PYTHONPATH=$PWD/src
SETUP
size=$(du -sm .gpu | cut -f1)
echo ".gpu/ holds $size MiB"
[ "$size" -lt 64 ] || { echo "too large: 64 MiB are allowed" >&2; exit 1; }
