#!/bin/sh
# Lay in loco out as a Debian package would, or remove it. `make install` and the bundle's install.sh call this.
#
#     deploy/install.sh install PREFIX [DESTDIR]
#     deploy/install.sh uninstall PREFIX [DESTDIR]
#
#     PREFIX/bin/inloco            every command
#     PREFIX/lib/inloco/           the sources, and the environment that they run in: venv/
#     PREFIX/lib/systemd/system/   the units
#     PREFIX/share/doc/inloco/     the pages, drop-ins for the units
#     /etc/inloco/                 what a unit runs, with examples (PREFIX/etc/inloco for an unusual PREFIX)
#
# DESTDIR goes before all of them while they are written, and into none of them. What was configured and what runs keep
# (/etc/inloco/*.env, /var/lib/inloco) is never removed.
set -eu
PACKAGES='runtime export calibration' # what runs engines, and what builds them on the device
UNITS='inloco-stream@.service inloco-streams@.service inloco-serve@.service inloco-dicom@.service'

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

here=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in install | uninstall) ;; *) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" && exit 2 ;; esac
prefix=${2:?name a PREFIX} destdir=${3:-}
destdir=${destdir%/}
case $prefix in /*) ;; *) die "PREFIX must be an absolute path, such as /usr/local, not $prefix" ;; esac
case $prefix in /usr | /usr/local) conf=/etc/inloco ;; *) conf=$prefix/etc/inloco ;; esac
bin=$prefix/bin lib=$prefix/lib/inloco units=$prefix/lib/systemd/system doc=$prefix/share/doc/inloco

# $1 = a text, $2 = where it goes, $3 = its mode. It appears whole or not at all.
put() {
    mkdir -p "$(dirname "$destdir$2")" || die "cannot write $destdir$2; become root, or name another PREFIX or DESTDIR"
    sed -e "/^@SERVICE@\$/{r $here/deploy/systemd/service.inc" -e 'd}' "$1" |
        sed -e "s|@BIN@|$bin|g; s|@LIB@|$lib|g; s|@DOC@|$doc|g; s|@CONF@|$conf|g" >"$destdir$2.new"
    chmod "$3" "$destdir$2.new"
    mv -f "$destdir$2.new" "$destdir$2"
}

# The folder $1 as $2, which is replaced.
copy() {
    rm -rf "$destdir$2.new"
    mkdir -p "$destdir$2.new"
    (cd "$1" && tar cf - --exclude=__pycache__ --exclude='*.tmp' .) | tar xf - --no-same-owner -C "$destdir$2.new"
    chmod -R u=rwX,go=rX "$destdir$2.new"
    rm -rf "$destdir${2:?}"
    mv "$destdir$2.new" "$destdir$2"
}

install_all() {
    mkdir -p "$destdir$lib" 2>/dev/null || die "cannot write $destdir$lib; become root, or name another PREFIX or DESTDIR"
    for package in $PACKAGES; do copy "$here/$package" "$lib/$package"; done
    copy "$here/docs" "$doc"
    put "$here/deploy/__main__.py" "$lib/__main__.py" 644
    put "$here/deploy/inloco.sh" "$bin/inloco" 755
    for unit in $UNITS; do put "$here/deploy/systemd/$unit" "$units/$unit" 644; done
    put "$here/LICENSE" "$doc/LICENSE" 644
    for drop_in in "$here"/deploy/systemd/drop-ins/*.conf; do put "$drop_in" "$doc/drop-ins/${drop_in##*/}" 644; done
    for example in "$here"/deploy/examples/*.env; do put "$example" "$conf/${example##*/}.example" 644; done
}

uninstall_all() {
    rm -rf "$destdir${lib:?}" "$destdir${doc:?}"
    rm -f "$destdir$bin/inloco"
    for unit in $UNITS; do rm -f "$destdir$units/$unit"; done
    for example in "$here"/deploy/examples/*.env; do rm -f "$destdir$conf/${example##*/}.example"; done
    rmdir "$destdir$conf" 2>/dev/null || true
    [ ! -d "$destdir$conf" ] || echo "kept $destdir$conf; the services' data is in /var/lib/inloco"
}

"$1_all"
