#!/bin/bash
# Runs while the image is built: code-server with our defaults, our command and a warm compile cache.
set -euo pipefail
here=/usr/local/lib/kalpana-editor
code_server=/usr/local/lib/code-server

echo "==> editor defaults"
node "$here/defaults.mjs"

install -m 755 "$here/code-server" /usr/local/bin/code-server
# The bridge under this name is the command for the people inside.
ln -s kalpana-bridge /usr/local/bin/kalpana
install -d -o dev -g dev -m 700 /run/kalpana # for the bridge's socket
install -d -o dev -g dev "$code_server/compile-cache"
setpriv --reuid dev --regid dev --clear-groups node "$here/warm.mjs"
# Nobody writes to it afterwards.
chown -R root:root "$code_server/compile-cache"
chmod -R u=rwX,go=rX "$code_server/compile-cache"

rm -rf "$here" /tmp/* /tmp/.[!.]*
