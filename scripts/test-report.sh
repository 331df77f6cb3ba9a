#!/usr/bin/env bash
# `kpflow report` in a real browser without a window: nothing on the console, every figure there, light, dark and printed.
# test-report.sh [PAGE.html]: a page that is there already; otherwise one of a small job. Pictures go to $PICTURES, if set.
set -euo pipefail
page=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
root=$PWD

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }
browser=$(find_browser)
if [ -z "$browser" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    install=(timeout 300 env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core)
    { "${install[@]}" || { timeout 120 apt-get update -q && "${install[@]}"; }; } >/dev/null 2>&1 || true
    browser=$(find_browser)
fi
if [ -z "$browser" ]; then
    echo "test-report: skipped, no chromium here, and apt does not bring it (apt-get install chromium)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "test-report: $*" >&2; exit 1; }

if [ -z "$page" ]; then
    kpflow=${KPFLOW:-$(realpath "${CARGO_TARGET_DIR:-target}/debug/kpflow")}
    for stage in first second; do
        {
            printf '[model]\nkind = "gru"\nweights = "%s"\n' "$root/tests/golden/gru.$([ $stage = first ] || echo other.)safetensors"
            printf '[data]\ninputs = "%s:/inputs"\n[output]\nfile = "%s"\n' "$root/tests/golden/gru.h5" "$work/$stage.h5"
            for quantity in trace effective_rank frobenius eigenpairs density matrix blocks lyapunov; do
                printf '[[analysis]]\nname = "%s"\nquantity = "%s"\n' $quantity $quantity
            done
            for axis in time unit; do
                printf '[[analysis]]\nname = "%s"\nquantity = "marginal"\naxis = "%s"\n' $axis $axis
            done
            printf '[[analysis]]\nname = "steps"\nquantity = "trace"\nmethod = "hutchinson"\nrtol = 1e-4\nmax_matvecs = 60\n'
            # Names and text that a page must not take as its own.
            printf '# </pre><script>document.title = "taken"</script> & <img src=x>\n'
        } >"$work/$stage.toml"
        "$kpflow" run "$work/$stage.toml" --quiet
    done
    page=$work/report.html
    "$kpflow" report "$work/first.h5" "$work/second.h5" --output "$page" --figures "$work/figures"
    figures=$(find "$work/figures" -name '*.svg' | wc -l)
    [ "$figures" -eq "$(find "$work/figures" -name '*.png' | wc -l)" ] || fail "as many SVG as PNG are expected"
    [ "$figures" -eq "$(grep -c '<figure ' "$page")" ] || fail "a figure is missing in the page or among the files"
fi

if grep -Eo '(src|href|action|data)="[^"]*"|url\([^)]*\)|@import' "$page" | grep -vE '="(#|data:)'; then
    fail "the page asks for something outside of it"
fi
[ "$(stat -c %s "$page")" -lt 1000000 ] || fail "the page has more than 1 MB"

# Everything the browser itself says goes to a log of the page's console by CONSOLE lines.
run() {
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
        --user-data-dir="$work/profile" --enable-logging=stderr --v=0 --host-resolver-rules='MAP * ~NOTFOUND' "$@" 2>>"$work/log"
}
run --dump-dom "file://$page" >"$work/dom.html"
if grep -E 'CONSOLE|Uncaught|ERR_' "$work/log"; then fail "the browser's console is not empty"; fi
there=$(grep -o '<figure ' "$work/dom.html" | wc -l)
drawn=$(grep -o '<svg viewBox' "$work/dom.html" | wc -l)
if [ "$there" -eq 0 ] || [ "$there" -ne "$drawn" ] || [ "$there" -ne "$(grep -c '<figure ' "$page")" ]; then
    fail "$there figures, $drawn drawn"
fi
grep -q '<title>kpflow: ' "$work/dom.html" || fail "the title is not the page's own"

pictures=${PICTURES:-$work}
mkdir -p "$pictures"
run --screenshot="$pictures/light.png" --window-size=1280,1700 "file://$page"
run --screenshot="$pictures/dark.png" --window-size=1280,1700 --blink-settings=preferredColorScheme=0 "file://$page"
run --print-to-pdf="$pictures/page.pdf" --no-pdf-header-footer "file://$page"
for picture in light.png dark.png page.pdf; do
    [ -s "$pictures/$picture" ] || fail "$picture was not made"
done
if cmp -s "$pictures/light.png" "$pictures/dark.png"; then fail "light and dark look the same"; fi
echo "test-report: $there figures, $(stat -c %s "$page") bytes, light, dark and printed"
