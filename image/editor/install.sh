#!/bin/bash
# Runs while the image is built: code-server with our defaults, our command and its modules in one pack.
set -euo pipefail
here=/usr/local/lib/kalpana-editor
code_server=/usr/local/lib/code-server

echo "==> editor defaults"
node "$here/defaults.mjs"

echo "==> compressing the page's files"
node "$here/assets.mjs"

install -m 755 "$here/code-server" /usr/local/bin/code-server
# The bridge under this name is the command for the people inside.
ln -s kalpana-bridge /usr/local/bin/kalpana
install -d -o dev -g dev -m 700 /run/kalpana # for the bridge's socket
# git asks it how to sign in, of each repository on its own; see gitcredentials(7).
git config --system credential.helper '/usr/local/bin/kalpana git-credential'
git config --system credential.useHttpPath true
# In whose name its owner commits, as the gateway tells the bridge.
git config --system include.path /run/kalpana/gitconfig
echo "==> starting the editor for its caches"
made=("$code_server/compile-cache" "$code_server/pack")
install -d -o dev -g dev "${made[@]}"
install -m 644 "$here/load.cjs" "$code_server/pack/load.cjs"
setpriv --reuid dev --regid dev --clear-groups node "$here/warm.mjs"
# Nobody writes to them afterwards.
chown -R root:root "${made[@]}"
chmod -R u=rwX,go=rX "${made[@]}"

rm -rf "$here" /tmp/* /tmp/.[!.]*
