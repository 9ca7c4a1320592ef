#!/usr/bin/env bash
# Headless MuJoCo draws through EGL; Debian and Ubuntu keep that in two packages.
# Root: install them. Anyone else: say the command and stop.
set -eu
case "${MUJOCO_GL:-egl}" in egl) ;; *) exit 0 ;; esac   # another GL was chosen on purpose
if ldconfig -p 2>/dev/null | grep -q 'libEGL\.so' &&
   ls /usr/lib/*/dri/swrast_dri.so /usr/lib/*/libgallium*.so /usr/lib/*/libEGL_nvidia.so* >/dev/null 2>&1; then
    exit 0
fi
packages="libegl1 libgl1-mesa-dri"
if ! command -v apt-get >/dev/null; then
    echo "Headless rendering needs EGL (libEGL and Mesa's drivers): install them with your package manager, then run make again." >&2
    exit 2
fi
if [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
else
    echo "Headless rendering needs two system packages. Run this, then make again:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y $packages" >&2
    exit 2
fi
