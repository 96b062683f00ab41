#!/usr/bin/env bash
#   bash setup.sh            make .venv with all that the suite needs, and write the example recordings
#   bash setup.sh --demo     the same, then the whole story on the example recordings: see demo_out/index.html
#   bash setup.sh --test     the same, then check and test the code; further words go to pytest
# A second run finds its work done. Needs Python 3.11 or newer; no screen, no graphics card, no questions asked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null # nothing started here may wait for an answer

say() { printf '%s\n' "$*"; }
fail() {
    printf 'setup.sh: %s\n' "$*" >&2
    exit 1
}

usable_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        if usable_python "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found (tried python3.11, python3.12, python3.13, python3); install one and run again"
}

# Debian's packages, where we may install them; fails without a word where we may not.
apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true >/dev/null 2>&1 || return 1
        as_root=(sudo -n)
    fi
    say "Installing Debian's packages $*"
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=120)
    # A package list that cannot be renewed may still be good enough.
    "${as_root[@]}" update >/dev/null 2>&1 || true
    "${as_root[@]}" install --no-install-recommends "$@" >/dev/null 2>&1
}

make_environment() {
    local python stamp wanted
    stamp=.venv/.made_from
    if usable_python .venv/bin/python && [ -f "$stamp" ]; then
        wanted=$(environment_stamp .venv/bin/python)
        [ "$(cat "$stamp")" != "$wanted" ] || return 0
    fi
    if ! usable_python .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        say "Making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv >/dev/null 2>&1 || {
            # Debian keeps the venv module of its Python in a package of its own.
            apt_install python3-venv "$(basename "$(readlink -f "$(command -v "$python")")")-venv" || true
            rm -rf .venv
            "$python" -m venv .venv || fail "$python cannot make .venv; on Debian or Ubuntu: sudo apt-get install python3-venv"
        }
    fi
    say "Installing the suite and its libraries (torch is large: some minutes at the first time)"
    .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check \
        --constraint constraints.txt --editable '.[test]' ||
        fail "pip could not install the packages; its own lines above say why"
    environment_stamp .venv/bin/python >"$stamp"
}

# The place counts too: an editable installation points to it.
environment_stamp() { { "$1" --version && pwd && cat pyproject.toml constraints.txt; } | cksum; }

can_draw() { .venv/bin/python -m gait.viewing.offscreen_renderer >/dev/null 2>&1; }

make_drawing_work() {
    local packages
    can_draw && return
    read -r -a packages <<<"$(.venv/bin/python -c 'from gait.viewing.offscreen_renderer import *; print(*DEBIAN_PACKAGES)')"
    if ! apt_install "${packages[@]}" || ! can_draw; then
        say "Pictures will be missing: $(.venv/bin/python -m gait.viewing.offscreen_renderer 2>&1 | tail -n 1)"
    fi
}

# One test presses real keys; it says so where it cannot.
make_real_hands() {
    { command -v Xvfb && command -v xdotool; } >/dev/null || apt_install xvfb xdotool || true
}

write_example_recordings() {
    local stamp=example_recordings/.made_from wanted
    wanted=$(cat example_cohort.json gait/synthetic/*.py | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "Writing the example recordings"
    .venv/bin/python -m gait.synthetic --cohort example_cohort.json
    mkdir -p example_recordings
    printf '%s\n' "$wanted" >"$stamp"
}

# One step of the demo: a plain line with the time it took. What it says itself goes to a file of that name.
demo_step() {
    local words=$1 log=demo_out/log/$2.txt start=$SECONDS code=0
    shift 2
    printf '%s: ' "$words"
    .venv/bin/python "$@" >"$log" 2>&1 || code=$?
    if [ "$code" -eq 0 ]; then
        say "$((SECONDS - start)) s"
        return
    fi
    say "failed after $((SECONDS - start)) s; the last lines of $log:"
    tail -n 3 "$log" | sed 's/^/    /'
    [ "$code" -ne 130 ] || exit 130 # stopped by a person
    demo_failed=1
}

# From recordings to what the networks looked at. What fails leaves the rest as it is, and is missing on the page.
run_demo() {
    local poses=./demo_out/optimized_poses training start=$SECONDS
    demo_failed=0
    mkdir -p demo_out/log
    demo_step "Fitting a body to each of twelve made-up walkers" fit shape_optimizer.py \
        --cohort ./example_cohort.json --model_folder ./data/ --save_folder "$poses"
    # Chosen to be quick: a long stride, small networks, and learning rates above those that a large cohort would want.
    training=(--base_folder "$poses" --k_folds 3 --cross all --interval_size 128 --stride 16 --cluster)
    demo_step "Training the MLP, three folds" mlp train_multi_mlp.py "${training[@]}" --batch_size 32 --epochs 20 \
        --lr 0.0003 --pfe_layers 32 32 --fc_layers 64 32 --lrp --save_folder ./demo_out/trained_mlp
    demo_step "Training the transformer, three folds" transformer train_transformer.py "${training[@]}" \
        --batch_size 16 --epochs 20 --lr 0.0003 --pfe_dim 64 --fc_dim 32 --pfe_head 2 --fc_head 4 --ffn_dim 128 \
        --save_folder ./demo_out/trained_transformer
    # The arrays are small: more threads would only wait for one another.
    OMP_NUM_THREADS=1 .venv/bin/python -m gait.report --poses "$poses" --trained ./demo_out/trained_mlp ./demo_out/trained_transformer \
        --export ./demo_out \
        --note "The twelve walkers are made up: each fault was put into a healthy walk by a formula. Twelve made-up \
walkers prove nothing about patients; they show what this suite does." \
        --note "The settings are those of a quick demonstration: three folds, every 16th window, small networks, \
learning rates of 0.0003. The README has the ones to begin with on recordings of your own." || demo_failed=1
    say "The demo took $((SECONDS - start)) s"
    return "$demo_failed"
}

# Pytest itself; words of the user that choose tests may leave none in one of the two halves.
run_pytest() {
    local code=0
    .venv/bin/python -m pytest "$@" "${chosen[@]}" || code=$?
    [ "$code" -eq 0 ] || { [ "$code" -eq 5 ] && [ "${#chosen[@]}" -gt 0 ]; }
}

# Every check runs even if one before it failed; pytest comes last, so its summary closes the output.
run_tests() {
    local failed=0 workers test window=() others=() chosen=("$@")
    for test in tests/viewing/test_*.py tests/report/test_run.py tests/report/test_*_figure.py tests/scripts/test_attention_viewer.py; do
        [ -f "$test" ] || continue
        window+=("$test")
        others+=("--ignore=$test")
    done
    workers=$(getconf _NPROCESSORS_ONLN)
    .venv/bin/python -m ruff check . || failed=1
    .venv/bin/python -m ruff format --check . || failed=1
    .venv/bin/python -m mypy || failed=1
    # One process a core, each with one thread: numerical libraries that each want all cores slow one another down.
    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 LP_NUM_THREADS=1
    run_pytest -n "$((workers < 4 ? workers : 4))" --dist loadscope "${others[@]}" || failed=1
    # What opens windows has a process of its own: beside the compilers of other libraries the driver once broke off.
    run_pytest "${window[@]}" || failed=1
    return "$failed"
}

what=${1:-}
case $what in
    '' | --demo | --test) ;;
    -h | --help)
        sed -n '2,5s/^# *//p' setup.sh
        exit 0
        ;;
    *)
        say "setup.sh: unknown option $what; there are --demo and --test, or none" >&2
        exit 2
        ;;
esac

make_environment
make_drawing_work
write_example_recordings
case $what in
    --demo) run_demo ;;
    --test)
        make_real_hands
        run_tests "${@:2}"
        ;;
    *) say "Ready. Next: bash setup.sh --demo, or .venv/bin/python shape_optimizer.py --help" ;;
esac
