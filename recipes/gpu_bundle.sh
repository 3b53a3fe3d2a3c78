#!/usr/bin/env bash
# What a bare GPU machine (PyTorch, transformers, no network) lacks, gathered in .gpu/, and what it does not need, put
# aside while the tree travels: at most 64 MiB at a time. See recipes/GPU.md.
#
#   recipes/gpu_bundle.sh          .gpu/: setup.sh, site.tar.xz (Python packages), assets.tar.xz (the model inside and the
#                                  ear), renderer.tar.xz (FluidSynth, its libraries, what the corpus plays of FluidR3)
#   recipes/gpu_bundle.sh aside    recorded outputs and assets into runs/aside/
#   recipes/gpu_bundle.sh back     and back
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
for_python=${GPU_PYTHON:-3.12}
aside=runs/aside
left_behind=(src/cadenza/assets tests/parity/*/)

case "${1:-gather}" in
aside)
    [ ! -e $aside ] || { echo "$aside is there already: recipes/gpu_bundle.sh back" >&2; exit 1; }
    for folder in "${left_behind[@]%/}"; do
        mkdir -p "$aside/$(dirname "$folder")"
        mv "$folder" "$aside/$folder"
    done
    exit ;;
back)
    [ -d $aside ] || { echo "nothing is put aside" >&2; exit 1; }
    (cd $aside && find . -mindepth 2 -type d \( -path ./src/cadenza/assets -o -path './tests/parity/*' \) -prune -print) |
        while read -r folder; do
            [ ! -e "$folder" ] || { echo "$folder is there already: remove it first" >&2; exit 1; }
            mv "$aside/$folder" "$folder"
        done
    rm -r $aside
    exit ;;
gather) ;;
*)
    echo "unknown: $1 (nothing, aside or back)" >&2
    exit 1 ;;
esac

pack() { # archive, folder, what of it
    tar -C "$2" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "$3" | xz -6 -T2 > ".gpu/$1.tar.xz"
}

mkdir -p .gpu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip install --quiet --disable-pip-version-check --target "$work/site" --only-binary :all: \
    --python-version "$for_python" --implementation cp --no-deps --no-compile --constraint constraints.txt \
    pydantic pydantic-core annotated-types typing-inspection typing-extensions soundfile cffi pycparser soxr pyloudnorm beartype
pack site "$work" site # a third smaller than the wheels

[ -d src/cadenza/assets/embedded ] && pack assets src/cadenza assets

if program=$(command -v fluidsynth); then
    # Every library that is not part of the C and C++ run time.
    mkdir "$work/renderer" "$work/renderer/fluidsynth"
    cp -L "$program" "$work/renderer/fluidsynth/"
    ldd "$program" | awk '/=> \//{print $3}' |
        grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux.*)\.so' |
        xargs -I{} cp -L {} "$work/renderer/fluidsynth/"
    "$python" recipes/soundfont.py "$work/renderer/soundfont.sf3"
    pack renderer "$work" renderer
else
    echo "no fluidsynth here, so no renderer in .gpu (Debian: apt install fluidsynth fluid-soundfont-gm)" >&2
fi

cat > .gpu/setup.sh <<'SETUP'
# Source this on the GPU machine, in the repository's root: it unpacks what came along, once.
for name in site renderer; do
    if [ -f .gpu/$name.tar.xz ] && [ .gpu/$name.tar.xz -nt .gpu/$name ]; then
        tar -C .gpu -xJf .gpu/$name.tar.xz && touch .gpu/$name
    fi
done
if [ -f .gpu/assets.tar.xz ] && [ ! -d src/cadenza/assets ]; then tar -C src/cadenza -xJf .gpu/assets.tar.xz; fi
export PYTHONPATH=$PWD/src:$PWD/.gpu/site PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
if [ -d .gpu/renderer ]; then
    export CADENZA_FLUIDSYNTH=$PWD/.gpu/renderer/fluidsynth/fluidsynth CADENZA_SOUNDFONT=$PWD/.gpu/renderer/soundfont.sf3
fi
SETUP

# What is put aside counts for nothing, nor do files that are deleted but not yet committed.
tree=$(git ls-files -z --cached --others --exclude-standard --deduplicate -- . ':!src/cadenza/assets' ':!tests/parity/*/*' |
    xargs -0 stat -c %s 2>/dev/null | awk '{sum += $1} END {print sum}') || true
size() { stat -c %s ".gpu/$1.tar.xz" 2>/dev/null || echo 0; }
awk -v tree="$tree" -v site="$(size site)" -v assets="$(size assets)" -v renderer="$(size renderer)" 'BEGIN {
    mib = 2 ^ 20
    printf "tree %.1f MiB (without what is put aside), site %.1f, assets %.1f, renderer %.1f\n", tree / mib, site / mib, assets / mib, renderer / mib
    printf "to render: %.1f MiB; to train and judge: %.1f MiB\n", (tree + site + renderer) / mib, (tree + site + assets) / mib
    if (tree + site + renderer > 2 ^ 26 || tree + site + assets > 2 ^ 26) { print "more than 64 MiB: what must travel does not fit" > "/dev/stderr"; exit 1 }
}'
