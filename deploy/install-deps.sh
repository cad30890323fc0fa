#!/bin/sh
# Installs the Debian 12 packages that building and running Tidegate needs, and says which were missing.
# Usage: deploy/install-deps.sh [--test]   (--test adds the browser and the tools that the tests use)
set -eu
cd "$(dirname "$0")/.."

packages="build-essential pkg-config ca-certificates
libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-0
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
gstreamer1.0-libav gstreamer1.0-nice"
case "${1:-}" in
    "") ;;
    --test)
        packages="$packages gstreamer1.0-tools ffmpeg chromium curl pebble"
        # For the tests in network namespaces.
        packages="$packages iproute2 nftables coturn procps"
        # Debian's Node.js will do, but one that is here already is left alone.
        command -v node >/dev/null || packages="$packages nodejs"
        command -v npm >/dev/null || packages="$packages npm"
        ;;
    *)
        echo "tidegate: install-deps.sh knows no '$1'; the only option is --test" >&2
        exit 64
        ;;
esac

if ! command -v apt-get >/dev/null; then
    if pkg-config --exists 'gstreamer-app-1.0 >= 1.22' 'gstreamer-webrtc-1.0 >= 1.22' 2>/dev/null; then
        exit 0
    fi
    echo "tidegate: this system has no apt-get. Install GStreamer 1.22 or newer yourself, with the development files of 'base' and 'bad', the plugins 'base', 'good', 'bad', 'ugly', 'libav' and 'nice', and pkg-config. Then run this again." >&2
    exit 1
fi

# shellcheck disable=SC2086 # a list of words on purpose, here and below
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
    sed -n 's/^installed //p') || true
sudo=
[ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null || sudo=sudo
missing=
for package in $packages; do
    printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] && [ -z "$sudo" ]; then
        echo "tidegate: system packages are missing, and this user may not install them (not root, no sudo). Ask an administrator to run: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    echo "tidegate: installing missing system packages:$missing"
    # shellcheck disable=SC2086
    if ! { $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
        echo "tidegate: the packages above could not be installed; see apt's message. By hand: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi

# The development files of GStreamer's WebRTC library come in a package whose dependencies are
# 500 others (OpenCV and all that it needs); the two files that linking needs are taken out of it.
# They name this folder, so they are made anew where the folder was moved or copied.
if ! pkg-config --exists gstreamer-webrtc-1.0 &&
    ! grep -qxF "libdir=$PWD/.deps/lib" .deps/pkgconfig/gstreamer-webrtc-1.0.pc 2>/dev/null; then
    echo "tidegate: unpacking the development files of GStreamer's WebRTC library into .deps"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    here=$PWD
    version=$(dpkg-query -W -f '${Version}' libgstreamer-plugins-bad1.0-0)
    (cd "$work" && { apt-get download -qq "libgstreamer-plugins-bad1.0-dev=$version" 2>/dev/null ||
        { $sudo apt-get update -qq && apt-get download -qq libgstreamer-plugins-bad1.0-dev; }; } && dpkg-deb -x ./*.deb files) || {
        echo "tidegate: the development files of GStreamer's WebRTC library could not be downloaded; run 'apt-get update' as root and try again" >&2
        exit 1
    }
    library=$(find /usr/lib -name 'libgstwebrtc-1.0.so.0' | head -n 1)
    mkdir -p .deps/pkgconfig .deps/lib
    ln -sf "$library" .deps/lib/libgstwebrtc-1.0.so
    # Written whole or not at all: its existence is what the next run looks for.
    find "$work/files" -name gstreamer-webrtc-1.0.pc -exec \
        sed "s|^libdir=.*|libdir=$here/.deps/lib|" {} \; >.deps/pkgconfig/new
    [ -s .deps/pkgconfig/new ] && mv .deps/pkgconfig/new .deps/pkgconfig/gstreamer-webrtc-1.0.pc
fi
