#!/bin/sh
# The image's first process: it becomes whoever owns the hotkey, without any privilege, and starts grail.
set -eu
# Empty in the image; packaging/check.sh plays this script in a plain folder.
root=${IMAGE_ROOT:-}
grail=$root/usr/local/bin/grail wallets=$root/wallets state=$root/var/lib/grail
export HOME="$state" XDG_DATA_HOME="$state"

# Wallets lie where they are mounted. `--env-file` lets a copy of .env.example win over the image's own setting.
case ${BT_WALLET_PATH:-} in
    '' | '~' | '~/'*) BT_WALLET_PATH=$wallets ;;
    *)
        if [ ! -d "$BT_WALLET_PATH" ] && [ -d "$wallets" ]; then
            echo "grail-entrypoint: BT_WALLET_PATH=$BT_WALLET_PATH is no folder of this container; using $wallets" >&2
            BT_WALLET_PATH=$wallets
        fi
        ;;
esac
export BT_WALLET_PATH

# With --user there is nothing to become.
[ "$(id -u)" = 0 ] || exec "$grail" "$@"

# The hotkey is readable by its owner alone, so grail must be that owner. The owner of root's wallets is root, who may read
# them and has no other privilege here.
owned=$BT_WALLET_PATH/${BT_WALLET_COLD:-default}/hotkeys/${BT_WALLET_HOT:-default}
[ -e "$owned" ] || owned=$BT_WALLET_PATH
if [ -e "$owned" ]; then
    user=$(stat -c %u "$owned") group=$(stat -c %g "$owned")
else
    user=$(stat -c %u "$state") group=$(stat -c %g "$state")
fi
[ "$(stat -c %u "$state")" = "$user" ] || chown -R "$user:$group" "$state"
exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$grail" "$@"
