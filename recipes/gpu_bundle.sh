#!/usr/bin/env bash
# Gather into .gpu/ what a bare GPU machine (PyTorch, transformers, no network) lacks: Python packages; with CORPUS=1 also
# FluidSynth with its libraries and a small soundfont. Says whether tree and bundle fit into 64 MiB. See recipes/GPU.md.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
for_python=${GPU_PYTHON:-3.12}
rm -rf .gpu
mkdir -p .gpu
site=$(mktemp -d)
"$python" -m pip install --quiet --disable-pip-version-check --target "$site/site" --only-binary :all: \
    --python-version "$for_python" --implementation cp --no-deps --no-compile --constraint constraints.txt \
    pydantic pydantic-core annotated-types typing-inspection typing-extensions soundfile cffi pycparser soxr pyloudnorm beartype
tar -C "$site" -cf - site | xz -9e > .gpu/site.tar.xz # a third smaller than the wheels
rm -rf "$site"

cat > .gpu/setup.sh <<'SETUP'
# Source this on the GPU machine, in the repository's root.
tar -C .gpu -xJf .gpu/site.tar.xz
export PYTHONPATH=$PWD/src:$PWD/.gpu/site PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
SETUP

if [ "${CORPUS:-0}" = 1 ]; then
    # The renderer, with every library that is not part of the C and C++ run time.
    mkdir .gpu/fluidsynth
    cp "$(command -v fluidsynth)" .gpu/fluidsynth/
    ldd "$(command -v fluidsynth)" | awk '/=> \//{print $3}' |
        grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux.*)\.so' | xargs -I{} cp -L {} .gpu/fluidsynth/
    font=$(mktemp -d)
    (cd "$font" && apt-get download -qq fluidr3mono-gm-soundfont && dpkg -x ./*.deb .)
    find "$font" -name '*.sf3' -size +1M -exec cp {} .gpu/soundfont.sf3 \;
    rm -rf "$font"
    cat >> .gpu/setup.sh <<'SETUP'
cat > /usr/local/bin/fluidsynth <<WRAP
#!/bin/sh
LD_LIBRARY_PATH=$PWD/.gpu/fluidsynth exec $PWD/.gpu/fluidsynth/fluidsynth "\$@"
WRAP
chmod +x /usr/local/bin/fluidsynth
SETUP
fi

bundle=$(du -sb .gpu | cut -f1)
# Recorded outputs (tests/parity, 9 MiB) are for tests on a CPU: they stay here.
tree=$(git ls-files -z --cached --others --exclude-standard --deduplicate -- . ':!tests/parity/*/*' |
    xargs -0 stat -c %s 2>/dev/null | awk '{sum += $1} END {print sum}')
awk -v a="$bundle" -v b="$tree" 'BEGIN {
    printf ".gpu/ %.1f MiB, tree without tests/parity/*/ %.1f MiB: move these folders aside while it travels\n", a / 2^20, b / 2^20
    if (a + b > 2^26) { print "more than 64 MiB together: what must travel does not fit" > "/dev/stderr"; exit 1 }
}'
