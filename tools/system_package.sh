#!/bin/sh
# system_package.sh PACKAGE WHY: installs a Debian package as root, otherwise says what to type.
set -u
package=$1
why=$2

if ! command -v apt-get >/dev/null 2>&1; then
    echo "$why: please install it with your system's package manager (Debian calls it $package)." >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    printf '%s. Please type:\n    sudo apt-get install %s\n' "$why" "$package" >&2
    exit 1
fi

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$package" >/dev/null
}

echo "$why: installing $package with apt-get"
# The lists are fetched only where the ones at hand do not do: that saves half a minute.
install 2>/dev/null || { apt-get update -qq && install; } || {
    printf '%s, and apt-get could not install it. Please look at what this says:\n    apt-get install %s\n' \
        "$why" "$package" >&2
    exit 1
}
