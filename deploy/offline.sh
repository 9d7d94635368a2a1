#!/bin/sh
# Install in loco from this folder; nothing is fetched, and a file that is not the one that was collected is refused.
#
#     ./install.sh [PREFIX]        (default: /usr/local; root for that one)
#
# PREFIX/lib/inloco/venv is the environment, PREFIX/bin/inloco every command; engines go to /var/lib/inloco/engines
# (PREFIX/var/lib/inloco/engines for an unusual PREFIX). PYTHON names another python3.
set -eu

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

cd "$(dirname "$0")"
prefix=${1:-/usr/local} python=${PYTHON:-python3}
case $prefix in /usr | /usr/local) state=/var/lib/inloco ;; /*) state=$prefix/var/lib/inloco ;; *) die "PREFIX must be an absolute path, not $prefix" ;; esac
read -r target machine version <TARGET
[ "$(uname -m)" = "$machine" ] || die "this bundle is for $machine, this machine is $(uname -m)"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || die "there is no $python"
[ "$found" = "$version" ] || die "these wheels are for Python $version, $python is $found; name another in PYTHON"
sha256sum --quiet --check SHA256SUMS || die "this bundle is damaged; carry it in again"

lib=$prefix/lib/inloco
mkdir -p "$lib" 2>/dev/null || die "cannot write $lib; become root, or name another PREFIX"
system=$([ "$target" = orin-jp6 ] && echo --system-site-packages || true)
rm -rf "$lib/venv.new"
"$python" -m venv $system "$lib/venv.new" || die "$python cannot make environments: install python3-venv"
"$lib/venv.new/bin/python" -m pip install -q --isolated --disable-pip-version-check --no-index --no-deps \
    --find-links wheels --require-hashes -r requirements.txt
rm -rf "$lib/venv"
mv "$lib/venv.new" "$lib/venv"
inloco/deploy/install.sh install "$prefix"

mkdir -p "$state/engines"
for engine in engines/*.json; do
    engine=${engine%.json}
    cp "$engine" "$engine.json" "$state/engines/"
    "$prefix/bin/inloco" verify "$state/engines/${engine#engines/}"
done
cat MISSING.txt
echo "installed: $prefix/bin/inloco stream --engine $state/engines/$(ls engines | grep -v json | head -n 1) --camera 0"
