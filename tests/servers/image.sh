#!/bin/sh
# Makes the image dockstream/busybox:test in the engine at SOCKET: busybox, and nothing else. Nothing is pulled.
set -eu
[ $# = 1 ] || { echo "usage: $0 SOCKET" >&2; exit 64; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/tmp" "$root/etc"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' > "$root/etc/passwd"
tar -C "$root" -c . | docker --host "unix://$1" import --change 'CMD ["sh"]' - dockstream/busybox:test
