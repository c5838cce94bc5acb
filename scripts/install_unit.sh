#!/usr/bin/env bash
# Install the systemd unit for this checkout: install_unit.sh HOME PORT, as root; `sudo make install-unit` calls it.
# The unit's user is the owner of the checkout. DESTDIR=dir writes below that folder and tells systemd nothing.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
home=${1:?the home of the bot}
port=${2:?the port of the page}
target=${DESTDIR:-}/etc/systemd/system/tradebot.service

refuse() {
  echo "$1 Nothing was installed." >&2
  exit 2
}

[[ $home = /* ]] || home=$checkout/$home
for path in "$checkout" "$home"; do
  [[ $path =~ ^/[A-Za-z0-9._/-]+$ ]] ||
    refuse "The path \"$path\" has characters that mean something else in a unit: use letters, digits, and . _ - alone."
done
[[ $port =~ ^[0-9]+$ ]] || refuse "The port is \"$port\" and not a number."
user=$(stat -c %U "$checkout")
[ "$user" != root ] && [ "$user" != UNKNOWN ] ||
  refuse "The checkout $checkout belongs to $user, and the bot runs as its owner: give it to a user of its own with chown."
[ -x "$checkout/.venv/bin/supervisord" ] || refuse "Nothing is set up in $checkout: let $user type \`make setup\` there first."
[ -n "${DESTDIR:-}" ] || [ "$(id -u)" = 0 ] || refuse "Only root may write $target: use sudo."

# The home has to be there before the unit starts: it is the one place that the unit may write.
[ -d "$home" ] || install --directory --owner="$user" --group="$(stat -c %G "$checkout")" --mode=0700 "$home"
mkdir -p "$(dirname "$target")"
sed -e "s#/opt/tradebot/home#@HOME@#g" -e "s#/opt/tradebot#$checkout#g" -e "s#@HOME@#$home#g" \
  -e "s#^User=.*#User=$user#" -e "s#TRADEBOT_WEB_PORT=[0-9]*#TRADEBOT_WEB_PORT=$port#" \
  "$checkout/supervisor/tradebot.service" >"$target.new"
mv "$target.new" "$target"
echo "$target starts the chain of $home, as $user, with its page on port $port."
if [ -z "${DESTDIR:-}" ]; then
  systemctl daemon-reload
  echo "Start it, now and with the machine: systemctl enable --now tradebot"
fi
