#!/bin/sh
# Installs the Debian 12 packages that building and running Tidegate needs, and says which were missing.
# Usage: deploy/install-deps.sh [--test]   (--test adds the browser and the tools that the tests use)
set -eu
cd "$(dirname "$0")/.."

packages="build-essential pkg-config ca-certificates
libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-0
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
gstreamer1.0-libav gstreamer1.0-nice"
[ "${1:-}" = --test ] && packages="$packages gstreamer1.0-tools ffmpeg chromium"

if ! command -v apt-get >/dev/null; then
    echo "tidegate: this system has no apt-get. Install GStreamer 1.22 or newer with its development files (base, bad) yourself, then run 'cargo build'." >&2
    exit 1
fi

missing=
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done

if [ -n "$missing" ]; then
    echo "tidegate: installing missing system packages:$missing"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "tidegate: may not install packages: not root and no sudo. Ask an administrator to run: apt-get install --no-install-recommends$missing" >&2
            exit 1
        fi
        sudo=sudo
    fi
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # a list of words on purpose
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# The development files of GStreamer's WebRTC library come in a package whose dependencies are
# 500 others (OpenCV and all that it needs); the two files that linking needs are taken out of it.
if ! pkg-config --exists gstreamer-webrtc-1.0 && ! [ -e .deps/pkgconfig/gstreamer-webrtc-1.0.pc ]; then
    echo "tidegate: unpacking the development files of GStreamer's WebRTC library into .deps"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    here=$PWD
    version=$(dpkg-query -W -f '${Version}' libgstreamer-plugins-bad1.0-0)
    (cd "$work" && { apt-get download -qq "libgstreamer-plugins-bad1.0-dev=$version" 2>/dev/null ||
        { apt-get update -qq && apt-get download -qq libgstreamer-plugins-bad1.0-dev; }; } && dpkg-deb -x ./*.deb files)
    libraries=$(dirname "$(find /usr/lib -name 'libgstwebrtc-1.0.so.0' | head -n 1)")
    mkdir -p .deps/pkgconfig .deps/lib
    ln -sf "$libraries/libgstwebrtc-1.0.so.0" .deps/lib/libgstwebrtc-1.0.so
    find "$work/files" -name gstreamer-webrtc-1.0.pc -exec \
        sed "s|^libdir=.*|libdir=$here/.deps/lib|" {} \; >.deps/pkgconfig/gstreamer-webrtc-1.0.pc
fi
