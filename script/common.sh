# common.sh - what script/server, test, bench and analyze share; sourced, with `set -eu`, from the root of the tree.
# Needs nothing but a POSIX shell, dpkg and apt-get.

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }

# need_packages FILE...: installs what the lists name and the system lacks; asks the network only then.
need_packages() {
    wanted=$(cat "$@" | grep -v '^#' | grep -v '^$' || true)
    command -v dpkg-query >/dev/null || die "this is no Debian system; install these by hand: $(echo $wanted)"
    # shellcheck disable=SC2086 # one word a package
    have=$(dpkg-query -W -f='${Package} ${db:Status-Abbrev}\n' $wanted 2>/dev/null | awk '$2 == "ii" { print $1 }')
    missing=$(printf '%s\n' "$wanted" | grep -Fvx "$have" || true)
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086
    set -- $missing
    say "Installing: $*"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "as root: apt-get install $*"
        sudo=sudo
    fi
    install="$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends"
    # lists that are missing or name versions the mirror no longer has: fetch them, then once more
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || $sudo apt-get update -q >&2
    $install "$@" >&2 || { $sudo apt-get update -q >&2 && $install "$@" >&2; } || die "apt-get could not install: $*"
}

# build PRESET [TARGET...]: configures once, then only what changed is built. Silent when nothing is to be done.
build() {
    preset=$1
    shift
    log=build/$preset/build.log
    mkdir -p "build/$preset"
    if [ ! -f "build/$preset/build.ninja" ]; then
        say "Configuring build/$preset"
        cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; rm -f "build/$preset/build.ninja"; die "cmake failed"; }
    fi
    # a dry run always names the two steps that look for new files
    if ninja -C "build/$preset" -n "$@" 2>/dev/null | grep '^\[' | grep -Eqv 'Re-(checking globbed|running CMake)'; then
        say "Building build/$preset"
    fi
    ninja -C "build/$preset" "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; die "the build of $preset failed (all of it: $log)"; }
}
