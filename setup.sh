#!/usr/bin/env bash
#   bash setup.sh            create .venv with all required packages, and write the example recordings
#   bash setup.sh --demo     the same, then run the full pipeline on the example recordings: see demo_out/index.html
#   bash setup.sh --test     the same, then check and test the code; further arguments are passed to pytest
# A second run skips finished steps. Needs Python 3.11 or newer; no screen or GPU is needed, and it asks no questions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null # no command may wait for input

log() { printf '%s\n' "$*"; }
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
    fail "no Python 3.11 or newer found (tried python3.11, python3.12, python3.13, python3); install one and try again"
}

# Install Debian packages; return an error, without a message, if that is not possible or not allowed.
apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true >/dev/null 2>&1 || return 1
        as_root=(sudo -n)
    fi
    log "Installing the Debian packages $*"
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=120)
    # If the package list cannot be updated, the old one may still be good enough.
    "${as_root[@]}" update >/dev/null 2>&1 || true
    "${as_root[@]}" install --no-install-recommends "$@" >/dev/null 2>&1
}

make_environment() {
    local python stamp wanted
    stamp=.venv/.stamp
    if usable_python .venv/bin/python && [ -f "$stamp" ]; then
        wanted=$(environment_stamp .venv/bin/python)
        [ "$(cat "$stamp")" != "$wanted" ] || return 0
    fi
    if ! usable_python .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        log "Creating .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv >/dev/null 2>&1 || {
            # On Debian the venv module of Python is a separate package.
            apt_install python3-venv "$(basename "$(readlink -f "$(command -v "$python")")")-venv" || true
            rm -rf .venv
            "$python" -m venv .venv || fail "$python cannot create .venv; on Debian or Ubuntu: sudo apt-get install python3-venv"
        }
    fi
    log "Installing the Python packages (torch is large: this takes some minutes the first time)"
    .venv/bin/python -m pip install -qq --no-input --no-compile --disable-pip-version-check \
        --constraint constraints.txt --editable '.[test]' ||
        fail "pip could not install the packages; its messages above give the reason"
    # pip would compile the modules on one core, and also those that only test the packages.
    .venv/bin/python -m compileall -qq -j 0 -x '[/\\]tests[/\\]' .venv || true
    environment_stamp .venv/bin/python >"$stamp"
}

# It includes the working directory, since an editable installation points to it, and what the pose solver is built of.
environment_stamp() {
    {
        "$1" --version && pwd && { command -v cc || true; }
        cat pyproject.toml setup.py constraints.txt gait/fitting/solver/*.c
    } | cksum
}

# Where Python may not write beside its modules, or is told not to, every start of a command would compile all of them.
compile_modules() { .venv/bin/python -m compileall -q gait benchmarks ./*.py || true; }

can_draw() { .venv/bin/python -m gait.viewing.offscreen_renderer >/dev/null 2>&1; }

install_offscreen_renderer() {
    local packages
    can_draw && return
    read -r -a packages <<<"$(.venv/bin/python -c 'from gait.viewing.offscreen_renderer import *; print(*DEBIAN_PACKAGES)')"
    if ! apt_install "${packages[@]}" || ! can_draw; then
        log "Rendered images will be missing: $(.venv/bin/python -m gait.viewing.offscreen_renderer 2>&1 | tail -n 1)"
    fi
}

# Tests that simulate real key presses and mouse clicks, or open pages in browsers, are skipped without these programs.
install_test_programs() {
    { command -v Xvfb && command -v xdotool; } >/dev/null || apt_install xvfb xdotool || true
    { command -v chromium && command -v firefox-esr; } >/dev/null || apt_install chromium firefox-esr || true
}

write_example_recordings() {
    local stamp=example_recordings/.stamp wanted
    wanted=$(cat example_cohort.json gait/synthetic/*.py | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    log "Writing the example recordings"
    .venv/bin/python -m gait.synthetic --cohort example_cohort.json
    mkdir -p example_recordings
    printf '%s\n' "$wanted" >"$stamp"
}

# demo_step TITLE NAME ARGUMENTS...: run Python and print one line with the elapsed time; its output goes to NAME.txt.
demo_step() {
    local title=$1 log_file=demo_out/log/$2.txt start=$SECONDS code=0
    shift 2
    .venv/bin/python "$@" >"$log_file" 2>&1 || code=$?
    if [ "$code" -eq 0 ]; then
        log "$title: $((SECONDS - start)) s"
    else
        log "$title: failed after $((SECONDS - start)) s; the last lines of $log_file:
$(tail -n 3 "$log_file" | sed 's/^/    /')"
    fi
    return "$code"
}

# From recordings to explanations. A failed step does not stop the others; its results are missing on the page.
run_demo() {
    local poses=./demo_out/optimized_poses training mlp transformer start=$SECONDS failed=0
    # Processes share the cores; the arrays are too small to gain from several threads in each.
    export OMP_NUM_THREADS=1
    mkdir -p demo_out/log
    log "Fitting, training and explaining; this takes some minutes"
    demo_step "Fitting a body model to each of 24 synthetic subjects" fit shape_optimizer.py \
        --cohort ./example_cohort.json --model_folder ./data/ --save_folder "$poses" || failed=$?
    [ "$failed" -ne 130 ] || exit 130 # interrupted by the user
    # The flags of the README for own recordings, made short: three folds, fewer epochs at a higher learning rate, one
    # network in place of an ensemble, a quick threshold or none; less augmentation, as these subjects differ little.
    training=(--input rotations --windows cycles --pace 0.3 1.1 --interval_size 128 --batch_size 32
        --base_folder "$poses" --k_folds 3 --cross all --cluster)
    demo_step "Training the MLP, three folds" mlp train_multi_mlp.py "${training[@]}" --epochs 30 --lr 0.001 \
        --pfe_layers 32 --fc_layers 32 --save_folder ./demo_out/trained_mlp &
    mlp=$!
    demo_step "Training the transformer, three folds" transformer train_transformer.py "${training[@]}" --epochs 20 \
        --lr 0.002 --lr_schedule cosine --one_frame_in 8 --pfe_dim 64 --fc_dim 64 --pfe_head 16 --fc_head 8 \
        --ffn_dim 128 --threshold_folds 2 --save_folder ./demo_out/trained_transformer &
    transformer=$!
    wait "$mlp" || failed=$?
    wait "$transformer" || failed=$?
    [ "$failed" -ne 130 ] || exit 130
    .venv/bin/python -m gait.report --poses "$poses" --trained ./demo_out/trained_mlp ./demo_out/trained_transformer \
        --export ./demo_out --examples stiff_knee_left drop_foot_right duchenne_trendelenburg_left \
        --note "The 24 subjects are synthetic: each pathology was added to a healthy gait by a formula, and subjects \
differ less than real persons. The results prove nothing about patients; they only show what the pipeline does. The \
names say what was changed: stiff_knee_left mainly the left knee, drop_foot_right the right ankle, \
duchenne_trendelenburg_left the trunk. The three walks below were chosen by these names, not by their results." \
        --note "Twelve controls and twelve patients, two of each pathology, are few: the intervals are wide. In three \
other cohorts made like this one, the MLP classified 59 of 72 subjects correctly, and the joint that it used most is one \
that the pathology changes in 30 of 36 patients; of a joint drawn at random, this holds in 6 of 36." \
        --note "The settings are those of a quick demonstration: the README recommends settings for your own recordings, \
and other flags." || failed=1
    log "The demo took $((SECONDS - start)) s: see demo_out/index.html"
    [ "$failed" -eq 0 ]
}

# run_check NAME COMMAND...: run in the background, in a process group of its own, with the output in a file.
run_check() {
    local name=$1
    shift
    { "$@" >"$test_output/$name" 2>&1; } &
    checks+=("$name:$!")
}

# Run pytest with the user's arguments; they may select no test in one of the two halves (exit code 5).
run_pytest() {
    local code=0
    .venv/bin/python -m pytest "$@" "${user_args[@]}" || code=$?
    [ "$code" -eq 0 ] || { [ "$code" -eq 5 ] && [ "${#user_args[@]}" -gt 0 ]; }
}

stop_checks() {
    local check
    for check in "${checks[@]}"; do kill -INT -- "-${check#*:}" 2>/dev/null || true; done
    exit 130
}

# All checks run at the same time, also after a failure; their outputs are printed one after the other.
run_tests() {
    local failed=0 workers test check window=() others=() checks=() user_args=("$@")
    for test in tests/viewing/test_*.py tests/report/test_run.py tests/report/test_*_figure.py tests/scripts/test_attention_viewer.py; do
        [ -f "$test" ] || continue
        window+=("$test")
        others+=("--ignore=$test")
    done
    workers=$(getconf _NPROCESSORS_ONLN)
    test_output=$(mktemp -d)
    trap 'rm -rf "$test_output"' EXIT
    trap stop_checks INT TERM
    set -m # else the checks would ignore Ctrl-C, also in the programs that they test
    # One process per core with one thread each: numerical libraries that all use every core slow each other down.
    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 LP_NUM_THREADS=1
    # Tests that open windows run in their own process: the driver once crashed beside the compilers of other libraries.
    run_check window run_pytest "${window[@]}"
    run_check others run_pytest -n "$((workers < 4 ? workers : 4))" --dist loadscope --no-loadscope-reorder "${others[@]}"
    run_check types .venv/bin/python -m mypy
    run_check style .venv/bin/python -m ruff check .
    run_check format .venv/bin/python -m ruff format --check .
    for check in format style types window others; do
        wait "$(printf '%s\n' "${checks[@]}" | sed -n "s/^$check://p")" || failed=1
        cat "$test_output/$check"
    done
    return "$failed"
}

option=${1:-}
case $option in
    '' | --demo | --test) ;;
    -h | --help)
        sed -n '2,5s/^# *//p' setup.sh
        exit 0
        ;;
    *)
        log "setup.sh: unknown option $option; use --demo, --test, or none" >&2
        exit 2
        ;;
esac

make_environment
compile_modules
install_offscreen_renderer
write_example_recordings
case $option in
    --demo) run_demo ;;
    --test)
        install_test_programs
        run_tests "${@:2}"
        ;;
    *) log "Ready. Next: bash setup.sh --demo, or .venv/bin/python shape_optimizer.py --help" ;;
esac
