#!/usr/bin/env bash
# Prove the two commands on a machine that has nothing: a minimal Debian 12 with python3, python3-venv, make and git.
#
#     sudo tests/fresh/run.sh            # `make demo` in a fresh clone of what is committed
#     sudo tests/fresh/run.sh --test     # and `make test`
#
#     --dir DIR    work in DIR and keep it (default: a temporary folder, removed at the end)
#     --reuse      take the system that an earlier --dir DIR left, with a new clone
#
# Needs root, debootstrap and a network. The Debian mirror (or the variable DEBIAN_MIRROR) and pip's configuration,
# with the certificates and local folders that it names, are this machine's. Mounts live in a namespace of their own
# and vanish with it, however this ends.
set -euo pipefail

SUITE=bookworm
PACKAGES=python3,python3-venv,make,git
keep='' top=''
CLONE=/srv/inloco # the data folder, where there is one, stands beside it as it does beside the checkout

say() { printf '\n== %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

main() {
    local tests=no reuse=no checkout
    local words=("$@")
    while [ $# -gt 0 ]; do
        case $1 in
            --test) tests=yes ;;
            --reuse) reuse=yes ;;
            --dir) keep=${2:?--dir needs a folder} && shift ;;
            -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
            *) die "unknown option $1; see --help" ;;
        esac
        shift
    done
    [ "$(id -u)" = 0 ] || die "run as root: debootstrap, mount and chroot need it"
    command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
    if [ "${FRESH_NAMESPACE:-}" != own ]; then
        FRESH_NAMESPACE=own exec unshare --mount --propagation private "$0" "${words[@]}"
    fi
    checkout=$(cd "$(dirname "$0")/../.." && pwd)
    top=${keep:-$(mktemp -d "${TMPDIR:-/var/tmp}/inloco-fresh.XXXXXX")}
    trap leave EXIT
    [ $reuse = yes ] && [ -x "$top/usr/bin/git" ] || make_system
    mount_system "$checkout"
    prove_demo
    [ $tests = no ] || prove_tests
    say "proved on $(inside cat /etc/debian_version) with nothing but $PACKAGES added"
}

leave() {
    local place
    while read -r _ place _; do
        case $place in "$top"/*) umount "$place" ;; esac
    done < <(tac /proc/mounts)
    [ -n "$keep" ] || rm -rf --one-file-system "$top"
}

make_system() {
    local mirror=${DEBIAN_MIRROR:-}
    # shellcheck disable=SC2016  # apt expands $(REPO_URI), not the shell
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        "Release: $SUITE" 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || die "this machine's apt knows no mirror of Debian $SUITE: name one in DEBIAN_MIRROR"
    say "a minimal Debian $SUITE in $top"
    debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$top" "$mirror" >"$top.log" 2>&1 ||
        { tail -n 5 "$top.log" >&2 && die "debootstrap failed; its log is $top.log"; }
    rm -f "$top.log"
    inside dpkg-query -W -f '.\n' | wc -l | xargs printf '%s packages installed\n'
}

# $1 = checkout. /dev is the few nodes of debootstrap: whatever the host has, this machine has no GPU and no camera.
mount_system() {
    local word
    mount -t proc proc "$top/proc"
    mount -o bind,ro /sys "$top/sys"
    mkdir -p "$top/dev/shm" && mount -t tmpfs tmpfs "$top/dev/shm"
    bring "$1" /mnt/origin
    [ ! -d "$1/../shared" ] || bring "$(realpath "$1/../shared")" "$(dirname $CLONE)/shared"
    cp -L /etc/resolv.conf /etc/hosts "$top/etc/"
    # pip's configuration files, then every file or folder that they or the environment name.
    for word in $(python3 -m pip config debug 2>/dev/null | sed -n 's/^ *\(.*\), exists: True$/\1/p'); do
        install -D -m 644 "$word" "$top$word"
    done
    for word in $(python3 -m pip config list 2>/dev/null | sed "s/^[^=]*='\(.*\)'$/\1/"); do
        word=${word#file://} && word=${word%/simple} # an index keeps its files beside simple/
        case $word in /*) [ ! -e "$word" ] || bring "$word" "$word" ;; esac
    done
}

# Show $1 of the host as $2 of the system, read-only.
bring() {
    if mountpoint -q "$top$2"; then return; fi
    if [ -d "$1" ]; then mkdir -p "$top$2"; else mkdir -p "$top$(dirname "$2")" && touch "$top$2"; fi
    mount --bind "$1" "$top$2"
    mount -o remount,bind,ro "$top$2"
}

inside() {
    local settings
    mapfile -t settings < <(env | grep -E '^(PIP_[A-Z_]*|(http|https|no)_proxy)=')
    env -i HOME="$HOME" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI="${CI:-}" "${settings[@]}" \
        chroot "$top" "$@"
}

in_clone() { inside sh -ec "cd $CLONE && $1"; }

prove_demo() {
    local began
    say "a fresh clone"
    inside git config --system --replace-all safe.directory '*'
    rm -rf "${top:?}$CLONE"
    inside git clone -q file:///mnt/origin $CLONE
    in_clone 'git log -1 --format="%h %s"'
    say "make .venv/.installed (the first half of make demo)"
    began=$SECONDS
    in_clone 'make .venv/.installed'
    printf 'installed in %d s\n' $((SECONDS - began))
    say "make demo"
    began=$SECONDS
    in_clone 'make demo'
    printf 'make demo took %d s after the installation\n' $((SECONDS - began))
    [ $((SECONDS - began)) -lt 60 ] || die "that is more than 60 s"
    in_clone '.venv/bin/python tests/fresh/check_demo.py out'
}

prove_tests() {
    say "make test"
    in_clone 'make test'
}

main "$@"
